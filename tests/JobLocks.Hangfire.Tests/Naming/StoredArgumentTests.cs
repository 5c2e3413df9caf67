using Hangfire;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using HangfireJob = Hangfire.Common.Job;

namespace JobLocks.Hangfire.Tests.Naming;

/// <summary>A run must get the lock name that its call had before Hangfire stored it, whatever the store makes of its arguments.</summary>
[TestFixture]
public sealed class StoredArgumentTests : RealServers
{
    private static readonly Guid SomeGuid = Guid.Parse("0c5f1a2b-93d4-4e5f-8a6b-7c8d9e0f1a2b");
    private static readonly DateTime SomeTime = new DateTime(2026, 3, 29, 2, 30, 1).AddTicks(1234567);
    private static readonly int[] Ints = [3, 1, 2];

    private protected override HangfireSetup Setup => new() { Servers = 1 };

    private static IEnumerable<TestCaseData> Numbers()
    {
        yield return Case("int", nameof(Job.Take), 4, "4");
        yield return Case("int, negative", nameof(Job.Take), -4, "-4");
        yield return Case("long", nameof(Job.TakeLong), 9007199254740993, "9007199254740993");
        yield return Case("bool", nameof(Job.TakeBool), true, "true");
        yield return Case("enum", nameof(Job.TakeEnum), Colour.Blue, "2");
        yield return Case("enum, without a name", nameof(Job.TakeEnum), (Colour)77, "77");
        yield return Case("decimal", nameof(Job.TakeDecimal), 1.10m, "1.1");
        yield return Case("decimal, large", nameof(Job.TakeDecimal), 79228162514264337593543950335m, null);
        yield return Case("decimal, small", nameof(Job.TakeDecimal), 0.0000000000000000000000000001m, null);
        yield return Case("double", nameof(Job.TakeDouble), 0.1, "0.1");
        yield return Case("double, whole", nameof(Job.TakeDouble), 3.0, "3");
        yield return Case("double, large", nameof(Job.TakeDouble), 1e300, "1E+300");
        yield return Case("double, not a number", nameof(Job.TakeDouble), double.NaN, null);
        yield return Case("double, infinite", nameof(Job.TakeDouble), double.NegativeInfinity, null);
        yield return Case("double, minus zero", nameof(Job.TakeDouble), -0.0, "0");
        yield return Case("float", nameof(Job.TakeFloat), 0.1f, null);
        yield return Case("int?", nameof(Job.TakeNullable), 4, "4");
        yield return Case("int?, null", nameof(Job.TakeNullable), null, "null");
    }

    private static IEnumerable<TestCaseData> Times()
    {
        yield return Case("Guid", nameof(Job.TakeGuid), SomeGuid, "0c5f1a2b-93d4-4e5f-8a6b-7c8d9e0f1a2b");
        yield return Case("DateTime, unspecified", nameof(Job.TakeDateTime), SomeTime, "2026-03-29T02:30:01.1234567");
        yield return Case("DateTime, UTC", nameof(Job.TakeDateTime), DateTime.SpecifyKind(SomeTime, DateTimeKind.Utc), "2026-03-29T02:30:01.1234567Z");
        yield return Case("DateTime, local", nameof(Job.TakeDateTime), DateTime.SpecifyKind(SomeTime, DateTimeKind.Local), null);
        yield return Case("DateTime, a day", nameof(Job.TakeDateTime), SomeTime.Date, "2026-03-29T00:00:00");
        yield return Case("DateTimeOffset", nameof(Job.TakeDateTimeOffset), new DateTimeOffset(SomeTime, TimeSpan.FromHours(2)), "2026-03-29T00:30:01.1234567Z");
        yield return Case("DateOnly", nameof(Job.TakeDateOnly), new DateOnly(2026, 3, 29), "2026-03-29");
        // Hangfire itself stores no seconds of it.
        yield return Case("TimeOnly, whole minutes", nameof(Job.TakeTimeOnly), new TimeOnly(2, 30), "02:30:00");
        yield return Case("TimeSpan", nameof(Job.TakeTimeSpan), new TimeSpan(1, 2, 3, 4), "1.02:03:04");
        yield return Case("DateTime?", nameof(Job.TakeNullableDateTime), SomeTime, null);
    }

    private static IEnumerable<TestCaseData> Texts()
    {
        yield return Case("char", nameof(Job.TakeChar), '\'', "\"'\"");
        yield return Case("string", nameof(Job.TakeString), "plain", "plain");
        yield return Case("string, empty", nameof(Job.TakeString), "", "\"\"");
        yield return Case("string, null", nameof(Job.TakeString), null, "null");
        yield return Case("string, the word null", nameof(Job.TakeString), "null", "\"null\"");
        yield return Case("string, quotes", nameof(Job.TakeString), "a \"b\" \\ 'c'", "\"a \\\"b\\\" \\\\ 'c'\"");
        yield return Case("string, umlauts", nameof(Job.TakeString), "Müßiggänger", "Müßiggänger");
        yield return Case("string, decomposed", nameof(Job.TakeString), "u\u0308", null);
        yield return Case("string, emoji", nameof(Job.TakeString), "🧹", "🧹");
        yield return Case("string, lines", nameof(Job.TakeString), "a\nb\t", "\"a\\u000Ab\\u0009\"");
        yield return Case("string, like a date", nameof(Job.TakeString), "2026-03-29T02:30:01+02:00", "2026-03-29T00:30:01Z");
        yield return Case("string, like a number", nameof(Job.TakeString), "1.10", "1.10");
    }

    private static IEnumerable<TestCaseData> Composites()
    {
        yield return Case("byte[]", nameof(Job.TakeBytes), new byte[] { 0, 1, 254, 255 }, null);
        yield return Case("int[]", nameof(Job.TakeInts), Ints, "[3,1,2]");
        yield return Case("int[], empty", nameof(Job.TakeInts), Array.Empty<int>(), "[]");
        yield return Case("list", nameof(Job.TakeList), new List<string?> { "a", null, "c d" }, "[a,null,\"c d\"]");
        yield return Case("dictionary", nameof(Job.TakeDictionary), new Dictionary<string, decimal>(StringComparer.Ordinal) { ["b"] = 2m, ["a"] = 1.0m }, "{a:1,b:2}");
        yield return Case("record", nameof(Job.TakeOrder), SomeOrder(), null);
        yield return Case("class", nameof(Job.TakeBasket), new Basket { Owner = "O'Neil", Orders = { SomeOrder() }, Prices = { ["ä"] = 1.50m, ["Z"] = 2m } }, null);
    }

    private static IEnumerable<TestCaseData> Objects()
    {
        yield return Case("object, int", nameof(Job.TakeObject), 4, "4");
        yield return Case("object, decimal", nameof(Job.TakeObject), 1.10m, "1.1");
        yield return Case("object, double", nameof(Job.TakeObject), 3.0, "3");
        yield return Case("object, Guid", nameof(Job.TakeObject), SomeGuid, "0c5f1a2b-93d4-4e5f-8a6b-7c8d9e0f1a2b");
        yield return Case("object, DateTime, UTC", nameof(Job.TakeObject), DateTime.SpecifyKind(SomeTime, DateTimeKind.Utc), null);
        yield return Case("object, DateTime, unspecified", nameof(Job.TakeObject), SomeTime, null);
        yield return Case("object, DateTime, local", nameof(Job.TakeObject), DateTime.SpecifyKind(SomeTime, DateTimeKind.Local), null);
        yield return Case("object, DateTimeOffset", nameof(Job.TakeObject), new DateTimeOffset(SomeTime, TimeSpan.FromHours(2)), null);
        yield return Case("object, DateOnly", nameof(Job.TakeObject), new DateOnly(2026, 3, 29), null);
        yield return Case("object, TimeSpan", nameof(Job.TakeObject), new TimeSpan(1, 2, 3, 4), null);
        yield return Case("object, enum", nameof(Job.TakeObject), Colour.Blue, "2");
        yield return Case("object, string", nameof(Job.TakeObject), "plain", "plain");
        yield return Case("object, string like a date", nameof(Job.TakeObject), "2026-03-29T02:30:01+02:00", null);
        yield return Case("object, string like a date without seconds", nameof(Job.TakeObject), "2026-03-29T02:30", null);
        yield return Case("object, bool", nameof(Job.TakeObject), false, "false");
        yield return Case("object, null", nameof(Job.TakeObject), null, "null");
        yield return Case("object, record", nameof(Job.TakeObject), SomeOrder(), null);
        yield return Case("object, int[]", nameof(Job.TakeObject), Ints, null);
    }

    [TestCaseSource(nameof(Numbers))]
    [TestCaseSource(nameof(Times))]
    [TestCaseSource(nameof(Texts))]
    [TestCaseSource(nameof(Composites))]
    [TestCaseSource(nameof(Objects))]
    public void Keeps_its_name_through_the_store(string method, object? value, string? expected)
    {
        var before = new HangfireJob(typeof(Job), typeof(Job).GetMethod(method), value);
        // Nobody serves the queue.
        var id = Servers.Client.Create(before, new EnqueuedState("nobody"));
        using var connection = Servers[0].Storage.GetConnection();
        var after = connection.GetJobData(id).Job;

        using (Assert.EnterMultipleScope())
        {
            foreach (var attribute in new JobLockAttribute[] { new(), new("take({value})"), new("take({0}:x)") })
            {
                Assert.That(NameOf(after, attribute), Is.EqualTo(NameOf(before, attribute)));
            }

            if (expected is not null) Assert.That(NameOf(after, new("{value}")), Is.EqualTo(expected));
        }
    }

    [Test]
    public void Leaves_out_what_Hangfire_fills_in()
    {
        var before = HangfireJob.FromExpression<Job>(static job => job.TakeWithPlumbing(4, null!, null!, CancellationToken.None));
        var id = Servers.Client.Create(before, new EnqueuedState("nobody"));
        using var connection = Servers[0].Storage.GetConnection();
        var after = connection.GetJobData(id).Job;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(NameOf(before, new()), Is.EqualTo("JobLocks.Hangfire.Tests.Naming.StoredArgumentTests+Job.TakeWithPlumbing(4)"));
            Assert.That(NameOf(after, new()), Is.EqualTo(NameOf(before, new())));
        }
    }

    [Test]
    public void Keeps_properties_and_formats_through_the_store()
    {
        var before = HangfireJob.FromExpression<Job>(static job => job.TakeOrder(SomeOrder()));
        var id = Servers.Client.Create(before, new EnqueuedState("nobody"));
        using var connection = Servers[0].Storage.GetConnection();
        var after = connection.GetJobData(id).Job;

        using (Assert.EnterMultipleScope())
        {
            foreach (var job in new[] { before, after })
            {
                Assert.That(
                    NameOf(job, new("order({value.CustomerId}, {value.Day:yyyy-MM-dd}, {value.Total:0.00}, {value.Tags.colour})")),
                    Is.EqualTo("order(7, 2026-03-29, 1.50, \"dark blue\")"));
            }
        }
    }

    private static TestCaseData Case(string name, string method, object? value, string? expected) =>
        new TestCaseData(method, value, expected).SetArgDisplayNames(name);

    private static Order SomeOrder() => new(7, SomeTime, 1.50m)
    {
        Lines = { new("a", 1), new("b", 2) },
        Tags = { ["size"] = "XL", ["colour"] = "dark blue" },
    };

    private string NameOf(HangfireJob job, JobLockAttribute attribute)
    {
        using var connection = Servers[0].Storage.GetConnection();
        var context = new PerformContext(Servers[0].Storage, connection, new BackgroundJob("1", job, DateTime.UtcNow), new JobCancellationToken(canceled: false));
        var call = HangfireJobCall.Of(context, [attribute]);
        return call.Rules[0].NameFor(call);
    }

    public enum Colour
    {
        Red,
        Green,
        Blue,
    }

    public sealed record Line(string Article, int Count);

    public sealed record Order(int CustomerId, DateTime Day, decimal Total)
    {
        public IList<Line> Lines { get; init; } = [];

        public IDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>(StringComparer.Ordinal);
    }

    public sealed class Basket
    {
        public string? Owner { get; set; }

        public string? Nothing { get; set; }

        public IList<Order> Orders { get; } = [];

        public IDictionary<string, decimal> Prices { get; } = new Dictionary<string, decimal>(StringComparer.Ordinal);
    }

    public class Job
    {
        public void Take(int value) => throw new NotSupportedException();

        public void TakeLong(long value) => throw new NotSupportedException();

        public void TakeBool(bool value) => throw new NotSupportedException();

        public void TakeChar(char value) => throw new NotSupportedException();

        public void TakeEnum(Colour value) => throw new NotSupportedException();

        public void TakeDecimal(decimal value) => throw new NotSupportedException();

        public void TakeDouble(double value) => throw new NotSupportedException();

        public void TakeFloat(float value) => throw new NotSupportedException();

        public void TakeGuid(Guid value) => throw new NotSupportedException();

        public void TakeDateTime(DateTime value) => throw new NotSupportedException();

        public void TakeDateTimeOffset(DateTimeOffset value) => throw new NotSupportedException();

        public void TakeDateOnly(DateOnly value) => throw new NotSupportedException();

        public void TakeTimeOnly(TimeOnly value) => throw new NotSupportedException();

        public void TakeTimeSpan(TimeSpan value) => throw new NotSupportedException();

        public void TakeString(string? value) => throw new NotSupportedException();

        public void TakeNullable(int? value) => throw new NotSupportedException();

        public void TakeNullableDateTime(DateTime? value) => throw new NotSupportedException();

        public void TakeBytes(byte[] value) => throw new NotSupportedException();

        public void TakeInts(int[] value) => throw new NotSupportedException();

        public void TakeList(IReadOnlyList<string?> value) => throw new NotSupportedException();

        public void TakeDictionary(IDictionary<string, decimal> value) => throw new NotSupportedException();

        public void TakeOrder(Order value) => throw new NotSupportedException();

        public void TakeBasket(Basket value) => throw new NotSupportedException();

        public void TakeObject(object? value) => throw new NotSupportedException();

        public void TakeWithPlumbing(int value, PerformContext context, IJobCancellationToken token, CancellationToken stop) =>
            throw new NotSupportedException();
    }
}
