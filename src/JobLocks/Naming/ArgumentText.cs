using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace JobLocks.Naming;

/// <summary>
/// Writes an argument into a lock name. Words, numbers, Guids, dates and times are written without quotes, in one form each, unless the next
/// character would be ambiguous. Every other text is quoted, so that no value can imitate the text around it. This is a wire format: after a change, old and new processes would use different names for the same lock.
/// Thread-safe.
/// </summary>
internal static partial class ArgumentText
{
    /// <summary>Appends a value inside a list or an object, where commas and brackets delimit it.</summary>
    public static void Append(StringBuilder name, JsonElement value) => Append(name, value, endsAt: null, touchesNext: false);

    /// <summary>Appends a value.</summary>
    /// <param name="name">The lock name to which the value is appended.</param>
    /// <param name="value">The value as JSON.</param>
    /// <param name="endsAt">The character that follows in the template; a value that contains it is quoted. Null for none.</param>
    /// <param name="touchesNext">Whether another value follows without text in between. Then the value is quoted, because only quotes show its end.</param>
    public static void Append(StringBuilder name, JsonElement value, char? endsAt, bool touchesNext)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.Object:
                AppendObject(name, value);
                break;
            case JsonValueKind.Array:
                AppendArray(name, value);
                break;
            case JsonValueKind.String:
                AppendText(name, InUtc(Text(value)), endsAt, touchesNext);
                break;
            case JsonValueKind.Number:
                AppendPlainOrQuoted(name, Number(value), endsAt, touchesNext);
                break;
            case JsonValueKind.True or JsonValueKind.False:
                AppendPlainOrQuoted(name, value.GetBoolean() ? "true" : "false", endsAt, touchesNext);
                break;
            default:
                AppendPlainOrQuoted(name, Null, endsAt: null, touchesNext: false);
                break;
        }
    }

    /// <summary>Appends a text. It is quoted unless it is a word, or has one of the fixed shapes.</summary>
    public static void AppendText(StringBuilder name, string text, char? endsAt = null, bool touchesNext = false)
    {
        if (string.Equals(text, Null, StringComparison.Ordinal) || !(IsWord(text) || FixedShape().IsMatch(text)))
            AppendQuoted(name, text);
        else
            AppendPlainOrQuoted(name, text, endsAt, touchesNext);
    }

    private const string Null = "null";

    private static void AppendPlainOrQuoted(StringBuilder name, string text, char? endsAt, bool touchesNext)
    {
        if (touchesNext || (endsAt is { } end && text.Contains(end, StringComparison.Ordinal)))
            AppendQuoted(name, text);
        else
            name.Append(text);
    }

    private static void AppendQuoted(StringBuilder name, string text)
    {
        name.Append('"');
        foreach (var character in text)
        {
            if (character is '"' or '\\') name.Append('\\').Append(character);
            else if (IsControl(character)) name.Append(CultureInfo.InvariantCulture, $"\\u{(int)character:X4}");
            else name.Append(character);
        }

        name.Append('"');
    }

    private static void AppendObject(StringBuilder name, JsonElement value)
    {
        name.Append('{');
        var separator = "";
        foreach (var property in value.EnumerateObject().OrderBy(static property => property.Name, StringComparer.Ordinal))
        {
            name.Append(separator);
            AppendText(name, property.Name, endsAt: ':');
            name.Append(':');
            Append(name, property.Value);
            separator = ",";
        }

        name.Append('}');
    }

    private static void AppendArray(StringBuilder name, JsonElement value)
    {
        name.Append('[');
        var separator = "";
        foreach (var item in value.EnumerateArray())
        {
            name.Append(separator);
            Append(name, item);
            separator = ",";
        }

        name.Append(']');
    }

    /// <summary>
    /// One text for equal numbers, such as 1.10, 1.1 and 1.1E0. Fractions have the precision of a double, because a job store may keep no more.
    /// </summary>
    private static string Number(JsonElement value)
    {
        if (value.TryGetInt64(out var whole)) return whole.ToString(CultureInfo.InvariantCulture);

        var number = value.GetDouble();
        return number == 0 ? "0" : number.ToString("R", CultureInfo.InvariantCulture);
    }

    private static string Text(JsonElement value)
    {
        try
        {
            return value.GetString()!;
        }
        catch (InvalidOperationException invalid)
        {
            throw new FormatException("its JSON holds a text with half of a surrogate pair", invalid);
        }
    }

    /// <summary>Converts an instant to UTC, so that it has the same text for every offset. Other texts stay unchanged.</summary>
    private static string InUtc(string text) =>
        Instant().IsMatch(text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.None, out var instant)
            ? instant.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture)
            : text;

    /// <summary>
    /// Whether the text consists of ASCII letters, digits, underscores, and non-ASCII characters. Non-ASCII characters are recognised by their code,
    /// because the character classes of Unicode change between its versions.
    /// </summary>
    private static bool IsWord(string text)
    {
        foreach (var character in text)
        {
            if (!char.IsAsciiLetterOrDigit(character) && character != '_' && (char.IsAscii(character) || IsControl(character))) return false;
        }

        return text.Length > 0;
    }

    /// <summary>
    /// Whether the character is in C0, DEL or C1, or a Unicode line separator. Such characters are escaped, so that a lock name is always one line.
    /// </summary>
    private static bool IsControl(char character) =>
        character is < ' ' or (>= '\u007F' and <= '\u009F') or '\u2028' or '\u2029';

    /// <summary>Numbers, Guids, dates, times and time spans. Their punctuation has fixed positions, so they are unambiguous without quotes.</summary>
    [GeneratedRegex(
        """
        ^(-?[0-9]+(\.[0-9]+)?(E[+-][0-9]+)?
        |[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}
        |[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?Z?)?
        |-?([0-9]+\.)?[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?)\z
        """,
        RegexOptions.IgnorePatternWhitespace | RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant)]
    private static partial Regex FixedShape();

    [GeneratedRegex(
        @"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,7})?(Z|[+-][0-9]{2}:[0-9]{2})\z",
        RegexOptions.NonBacktracking | RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant)]
    private static partial Regex Instant();
}
