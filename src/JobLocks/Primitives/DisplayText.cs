using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>Formats texts for people: on pages, in log lines, in records. Thread-safe.</summary>
internal static class DisplayText
{
    /// <summary>The longest name that is shown in full, in characters.</summary>
    public const int LongestName = 200;

    /// <summary>The longest id of a run or a job that is shown in full, in characters. No job store in a database has longer ids.</summary>
    public const int LongestRun = 600;

    /// <summary>The longest message, in characters.</summary>
    public const int LongestMessage = 2000;

    private const char FirstControlPicture = '\u2400';
    private const int LongestShortName = 80;
    private const int LengthSuffix = 50;

    /// <summary>
    /// Shortens a text of any length for an exception, a log, a record or a page. A shortened text ends with its original length. Texts are
    /// shortened for display only in this class. Do not shorten a text that identifies something or is searched for. Exception: the tables
    /// keep a job and a holding run above <see cref="LongestRun"/>, and a lock name above <see cref="LongestName"/>, in shortened form. A search finds them only
    /// by their beginning.
    /// </summary>
    public static string Cut(string text, int atMost = LongestName) => text.Length <= atMost ? text : $"{Head(text, atMost - LengthSuffix)}… ({text.Length} characters)";

    /// <summary>Shortens a name of any length and content, and makes it one line; an empty text for null.</summary>
    public static string Name(string? name, int atMost = LongestName) => name is null ? "" : OneLine(Cut(name, atMost));

    /// <summary>
    /// Shortens a message and makes it one line; null for null. Each exception of JobLocks passes its message through this method, because texts
    /// of the server can contain names and words that other roles have chosen.
    /// </summary>
    [return: NotNullIfNotNull(nameof(message))]
    public static string? Message(string? message) => message is null ? null : Name(message, LongestMessage);

    /// <summary>
    /// Makes a text safe for one line: no character of the result breaks the line, changes the direction of text or is invisible, and no character
    /// is dropped. A control character below U+0020 becomes its control picture, any other invisible character becomes its number.
    /// </summary>
    public static string OneLine(string text)
    {
        if (text.All(IsPlain)) return text;

        var shown = new StringBuilder(text.Length);
        for (var rest = text.AsSpan(); rest.Length > 0;)
        {
            // Half of a surrogate pair is no character. It becomes its number.
            var isWhole = Rune.DecodeFromUtf16(rest, out var rune, out var length) == OperationStatus.Done;
            if (!isWhole) shown.Append(CultureInfo.InvariantCulture, $"<U+{(int)rest[0]:X4}>");
            else if (rune.Value < ' ') shown.Append((char)(FirstControlPicture + rune.Value));
            else if (Invisible.Is(rune)) shown.Append(CultureInfo.InvariantCulture, $"<U+{rune.Value:X4}>");
            else shown.Append(rest[..length]);
            rest = rest[length..];
        }

        return shown.ToString();
    }

    /// <summary>The name; where it exceeds 80 characters, its beginning and an ellipsis.</summary>
    public static string Short(string name) => name.Length <= LongestShortName ? name : $"{Head(name, LongestShortName - 1)}…";

    /// <summary>A duration in seconds, minutes, hours or days.</summary>
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

    /// <summary>The first characters of a text. The result does not end with half of a surrogate pair.</summary>
    private static ReadOnlySpan<char> Head(string text, int length) => text.AsSpan(0, char.IsHighSurrogate(text[length - 1]) ? length - 1 : length);

    /// <summary>Whether the character is printable ASCII. Most texts consist of such characters only.</summary>
    private static bool IsPlain(char character) => character is >= ' ' and <= '~';
}
