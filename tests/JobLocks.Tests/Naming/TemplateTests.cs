using System.Globalization;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Naming;

[TestFixture]
public sealed class TemplateTests
{
    private static readonly Guid Tenant = Guid.Parse("d9b2d63d-a233-4123-847a-7d4a3d7a3b3c");

    private sealed record Order(int Id, Customer? Customer);

    private sealed record Customer(string Name)
    {
        public string Broken => throw new InvalidOperationException("no database");
    }

    private enum Depth
    {
        Shallow,
        Full,
    }

    [Test]
    public void Names_an_argument_by_name() => Assert.That(Calls.NameOf("sync({clientId})", ("clientId", 4)), Is.EqualTo("sync(4)"));

    [Test]
    public void Names_an_argument_by_position() => Assert.That(Calls.NameOf("sync({1})", ("region", "eu"), ("clientId", 4)), Is.EqualTo("sync(4)"));

    [Test]
    public void Follows_properties()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("c({order.Customer.Name})", ("order", new Order(7, new("Ada")))), Is.EqualTo("c(Ada)"));
            Assert.That(Calls.NameOf("c({0.Id})", ("order", new Order(7, null))), Is.EqualTo("c(7)"));
            Assert.That(Calls.NameOf("c({order.Customer.Name})", ("order", new Order(7, null))), Is.EqualTo("c(null)"));
            Assert.That(Calls.NameOf("c({order.Id})", ("order", System.Text.Json.JsonSerializer.SerializeToElement(new Order(7, null)))), Is.EqualTo("c(7)"));
            Assert.That(Calls.NameOf("c({map.a})", ("map", new Dictionary<string, int>(StringComparer.Ordinal) { ["a"] = 7 })), Is.EqualTo("c(7)"));
        }
    }

    [Test]
    public void Writes_doubled_braces_once() => Assert.That(Calls.NameOf("{{sync}}({clientId})", ("clientId", 4)), Is.EqualTo("{sync}(4)"));

    [Test]
    public void Applies_formats()
    {
        var instant = new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("r({day:yyyy-MM-dd})", ("day", instant)), Is.EqualTo("r(2026-01-02)"));
            Assert.That(Calls.NameOf("r({day:yyyy-MM-dd})", ("day", new DateOnly(2026, 1, 2))), Is.EqualTo("r(2026-01-02)"));
            Assert.That(Calls.NameOf("r({day:HH:mm})", ("day", instant)), Is.EqualTo("r(03:04)"));
            Assert.That(Calls.NameOf("r({n:000})", ("n", 7)), Is.EqualTo("r(007)"));
            Assert.That(Calls.NameOf("r({mode:G})", ("mode", Depth.Full)), Is.EqualTo("r(Full)"));
            Assert.That(Calls.NameOf("r({id:N})", ("id", Tenant)), Is.EqualTo("r(d9b2d63da2334123847a7d4a3d7a3b3c)"));
        }
    }

    [Test]
    public void Applies_a_format_to_what_a_store_turned_into_text()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("r({day:yyyy-MM-dd})", ("day", "2026-01-02T03:04:05Z")), Is.EqualTo("r(2026-01-02)"));
            Assert.That(Calls.NameOf("r({day:yyyyMMdd})", ("day", "2026-01-02")), Is.EqualTo("r(20260102)"));
            Assert.That(Calls.NameOf("r({id:N})", ("id", Tenant.ToString())), Is.EqualTo("r(d9b2d63da2334123847a7d4a3d7a3b3c)"));
        }
    }

    [Test]
    public void Formats_one_instant_alike_in_every_time_zone()
    {
        var utc = new DateTimeOffset(2026, 1, 1, 23, 30, 0, TimeSpan.Zero);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("r({at:yyyy-MM-dd})", ("at", utc.ToOffset(TimeSpan.FromHours(2)))), Is.EqualTo("r(2026-01-01)"));
            Assert.That(Calls.NameOf("r({at:yyyy-MM-dd})", ("at", utc.LocalDateTime)), Is.EqualTo("r(2026-01-01)"));
            Assert.That(Calls.NameOf("r({at})", ("at", utc.ToOffset(TimeSpan.FromHours(2)))), Is.EqualTo("r(2026-01-01T23:30:00Z)"));
            Assert.That(Calls.NameOf("r({at})", ("at", utc.LocalDateTime)), Is.EqualTo("r(2026-01-01T23:30:00Z)"));
        }
    }

    [Test]
    public void Leaves_words_numbers_dates_and_Guids_as_they_are()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("t({v})", ("v", "Müller_7")), Is.EqualTo("t(Müller_7)"));
            Assert.That(Calls.NameOf("t({v})", ("v", Tenant)), Is.EqualTo($"t({Tenant})"));
            Assert.That(Calls.NameOf("t({v})", ("v", -4)), Is.EqualTo("t(-4)"));
            Assert.That(Calls.NameOf("t({v})", ("v", 1.50m)), Is.EqualTo("t(1.5)"));
            Assert.That(Calls.NameOf("t({v})", ("v", new DateOnly(2026, 1, 2))), Is.EqualTo("t(2026-01-02)"));
            Assert.That(Calls.NameOf("t({v})", ("v", TimeSpan.FromMinutes(5))), Is.EqualTo("t(00:05:00)"));
            Assert.That(Calls.NameOf("t({v})", ("v", true)), Is.EqualTo("t(true)"));
        }
    }

    [Test]
    public void Keeps_null_the_empty_text_and_the_text_null_apart()
    {
        string[] names = [Calls.NameOf("t({v})", ("v", null)), Calls.NameOf("t({v})", ("v", "")), Calls.NameOf("t({v})", ("v", "null"))];

        Assert.That(names, Is.EqualTo(["t(null)", "t(\"\")", "t(\"null\")"]));
    }

    [Test]
    public void Keeps_the_same_value_from_text_and_number_together() =>
        Assert.That(Calls.NameOf("sync({id})", ("id", "4")), Is.EqualTo(Calls.NameOf("sync({id})", ("id", 4))));

    [Test]
    public void Quotes_what_could_imitate_the_text_around_it()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("t({v})", ("v", "a)b")), Is.EqualTo("t(\"a)b\")"));
            Assert.That(Calls.NameOf("t({v})", ("v", "a\"b\\c")), Is.EqualTo("t(\"a\\\"b\\\\c\")"));
            Assert.That(Calls.NameOf("t({v})", ("v", "a\r\nb\0\u2028")), Is.EqualTo("t(\"a\\u000D\\u000Ab\\u0000\\u2028\")"));
            Assert.That(Calls.NameOf("{a}{b}", ("a", 1), ("b", 23)), Is.EqualTo("\"1\"23"));
            Assert.That(Calls.NameOf("{a}x{b}", ("a", "1x"), ("b", 2)), Is.EqualTo("\"1x\"x2"));
            Assert.That(Calls.NameOf("{a}-{b}", ("a", -1), ("b", 2)), Is.EqualTo("\"-1\"-2"));
        }
    }

    // Every pair of values that differs must give two names: through one template, and through templates that look alike.
    [TestCase("{a}:{b}")]
    [TestCase("{a}-{b}")]
    [TestCase("{a}{b}")]
    [TestCase("{a}x{b}")]
    [TestCase("{a}·{b}")]
    [TestCase("{a}\"{b}")]
    [TestCase("{a}.{b}")]
    [TestCase("t({a},{b})")]
    public void Gives_different_values_different_names(string template)
    {
        string?[] values = [null, "", "null", "a", "b", "a:b", ":", "a-b", "-", "ax", "x", "xb", "a·b", "·", "\"", "a\"", "\\", "\\\"", "{a}", "}", "a,b", "),(", " ", "a b", "1", "12", "2", "-1", "1.2", "00:05:00", "00", "05:00:07", "2026-01-02", "\n"];
        var names = new HashSet<string>(StringComparer.Ordinal);

        foreach (var a in values)
        {
            foreach (var b in values) names.Add(Calls.NameOf(template, ("a", a), ("b", b)));
        }

        Assert.That(names, Has.Count.EqualTo(values.Length * values.Length));
    }

    [Test]
    public void Does_not_let_a_value_imitate_the_parts_of_another_template()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Calls.NameOf("order:{a}", ("a", "7:line:3")), Is.Not.EqualTo(Calls.NameOf("order:{a}:line:{b}", ("a", 7), ("b", 3))));
            Assert.That(Calls.NameOf("order-{a}", ("a", "7-x")), Is.Not.EqualTo(Calls.NameOf("order-{a}-{b}", ("a", 7), ("b", "x"))));
            Assert.That(Calls.NameOf("sync({a})", ("a", "4):b(5")), Is.Not.EqualTo(Calls.NameOf("sync({a}):b({b})", ("a", 4), ("b", 5))));
        }
    }

    [Test]
    public void Keeps_composed_and_decomposed_letters_apart() =>
        Assert.That(Calls.NameOf("t({v})", ("v", "\u00e9")), Is.Not.EqualTo(Calls.NameOf("t({v})", ("v", "e\u0301"))));

    [TestCase("tr-TR")]
    [TestCase("de-DE")]
    [TestCase("ar-SA")]
    [TestCase("")]
    public void Gives_one_name_in_every_culture(string culture)
    {
        var before = CultureInfo.CurrentCulture;
        CultureInfo.CurrentCulture = CultureInfo.GetCultureInfo(culture);
        try
        {
            var name = Calls.NameOf(
                "Illinois({a},{b},{c:yyyy-MM-dd},{d:N2},{e},{f})",
                ("a", 1234.5),
                ("b", new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)),
                ("c", new DateTime(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc)),
                ("d", 1234.5m),
                ("e", "Iıİi"),
                ("f", -7L));

            Assert.That(name, Is.EqualTo("Illinois(1234.5,2026-01-02T03:04:05Z,2026-01-02,1,234.50,Iıİi,-7)"));
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }
}
