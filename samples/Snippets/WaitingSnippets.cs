using JobLocks.Hangfire;

namespace Snippets;

public class Shop
{
    [JobLock("order({order.Id})")]                          // waits, in order, for as long as it takes
    public void Ship(Order order) => Console.WriteLine($"Shipping order {order.Id}");

    [JobLock("catalogue", KeepWaiting = 1)]                 // one waiting run is enough: it reads the data when it starts
    public void PublishCatalogue() => Console.WriteLine("Publishing the catalogue");

    [JobLock("mail({customer})", WaitAtMostSeconds = 60)]   // a reminder that is more than a minute late has no use
    public void Remind(string customer) => Console.WriteLine($"Reminding {customer}");
}
