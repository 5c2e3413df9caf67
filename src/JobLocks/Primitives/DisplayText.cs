using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>How things look to a person, on a page and in one line of a log.</summary>
internal static class DisplayText
{
    /// <summary>The longest name that is shown whole.</summary>
    public const int LongestName = 200;

    /// <summary>The longest text that names a run or a job: no store of a scheduler that writes to a database has longer ones.</summary>
    public const int LongestRun = 600;

    /// <summary>The longest message.</summary>
    public const int LongestMessage = 2000;

    private const char FirstControlPicture = '\u2400';
    private const int LongestTitle = 80;
    private const int PlaceForLength = 50;

    /// <summary>
    /// A text of whatever length as it may stand in an exception, a log, a record or a page. Longer ones end with how long they are. The only
    /// place where texts are cut; what identifies something or is searched for must not come through here.
    /// </summary>
    public static string Cut(string text, int atMost = LongestName) => text.Length <= atMost ? text : $"{Head(text, atMost - PlaceForLength)}… ({text.Length} characters)";

    /// <summary>A name of whatever length and content within one line of a log, a record or a page.</summary>
    public static string Name(string? name, int atMost = LongestName) => name is null ? "" : OneLine(Cut(name, atMost));

    /// <summary>
    /// A message, of an exception of ours or of the server, within one line. Each exception of JobLocks sends its message through here: texts of the server can hold names and
    /// words that other roles chose.
    /// </summary>
    [return: NotNullIfNotNull(nameof(message))]
    public static string? Message(string? message) => message is null ? null : Name(message, LongestMessage);

    /// <summary>
    /// A text with nothing in it that could break a line, turn its direction or hide, and nothing left out: control characters are shown by their
    /// pictures, all else that has no picture of its own by its number.
    /// </summary>
    public static string OneLine(string text)
    {
        if (text.All(IsPlain)) return text;

        var shown = new StringBuilder(text.Length);
        for (var rest = text.AsSpan(); rest.Length > 0;)
        {
            // Half of a surrogate pair is no character: it is shown by its own number.
            var isWhole = Rune.DecodeFromUtf16(rest, out var letter, out var length) == OperationStatus.Done;
            if (!isWhole) shown.Append(CultureInfo.InvariantCulture, $"<U+{(int)rest[0]:X4}>");
            else if (letter.Value < ' ') shown.Append((char)(FirstControlPicture + letter.Value));
            else if (Invisible.Is(letter)) shown.Append(CultureInfo.InvariantCulture, $"<U+{letter.Value:X4}>");
            else shown.Append(rest[..length]);
            rest = rest[length..];
        }

        return shown.ToString();
    }

    /// <summary>The beginning of a name that is long.</summary>
    public static string Short(string name) => name.Length <= LongestTitle ? name : $"{Head(name, LongestTitle - 1)}…";

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

    /// <summary>Never half of a surrogate pair at the end.</summary>
    private static ReadOnlySpan<char> Head(string text, int length) => text.AsSpan(0, char.IsHighSurrogate(text[length - 1]) ? length - 1 : length);

    /// <summary>Most texts are nothing else.</summary>
    private static bool IsPlain(char letter) => letter is >= ' ' and <= '~';
}
