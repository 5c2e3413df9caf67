using JobLocks.Hangfire;

namespace Snippets;

public class Shop
{
    [JobLock("order({order.Id})")]                          // waits, in order, for as long as it takes
    public void Ship(Order order) => Console.WriteLine($"Shipping order {order.Id}");

    [JobLock("catalogue", KeepWaiting = 1)]                 // the one that waits will see my change too
    public void PublishCatalogue() => Console.WriteLine("Publishing the catalogue");

    [JobLock("mail({customer})", WaitAtMostSeconds = 60)]   // later than that, it is of no use
    public void Remind(string customer) => Console.WriteLine($"Reminding {customer}");
}
