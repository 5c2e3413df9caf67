using System.Globalization;
using System.Text;
using JobLocks.Gate;

namespace JobLocks.Inspection;

/// <summary>How things look to a person, on a page and in one line of a log.</summary>
internal static class Shown
{
    private const char FirstControlPicture = '\u2400';
    private const int LongestName = 80;

    /// <summary>
    /// A name with nothing in it that could break a line or turn its direction: control characters are shown by their pictures, marks of
    /// direction by their numbers.
    /// </summary>
    public static string Name(string? name)
    {
        if (name is null) return "";
        if (!name.Any(BreaksLine)) return name;

        var shown = new StringBuilder(name.Length);
        foreach (var letter in name)
        {
            if (letter < ' ') shown.Append((char)(FirstControlPicture + letter));
            else if (BreaksLine(letter)) shown.Append(CultureInfo.InvariantCulture, $"<U+{(int)letter:X4}>");
            else shown.Append(letter);
        }

        return shown.ToString();
    }

    /// <summary>A name of whatever length and content within one line of a log or a record.</summary>
    public static string Brief(string name) => Name(JobGate.Shortened(name));

    /// <summary>The beginning of a name that is long.</summary>
    public static string Short(string name) => name.Length <= LongestName ? name : string.Concat(name.AsSpan(0, LongestName - 1), "…");

    /// <summary>A time in seconds, minutes or hours.</summary>
    public static string Time(TimeSpan time) => time switch
    {
        { TotalSeconds: < 10 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0.0} s"),
        { TotalMinutes: < 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalSeconds:0} s"),
        { TotalHours: < 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalMinutes:0} min"),
        { TotalDays: < 2 } => string.Create(CultureInfo.InvariantCulture, $"{time.TotalHours:0} h"),
        _ => string.Create(CultureInfo.InvariantCulture, $"{time.TotalDays:0} d"),
    };

    /// <summary>An instant, in UTC.</summary>
    public static string Instant(DateTimeOffset instant) => instant.ToUniversalTime().ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);

    private static bool BreaksLine(char letter) =>
        char.IsControl(letter) || CharUnicodeInfo.GetUnicodeCategory(letter) is UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator;
}
