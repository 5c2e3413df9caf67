using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace JobLocks.Naming;

/// <summary>
/// How an argument stands in a lock name. Words, numbers, Guids, dates and times stand as they are; every other text
/// is quoted, so that no value can imitate the text around it. This is a file format: changing it splits a fleet.
/// </summary>
internal static partial class ArgumentText
{
    /// <summary>Appends a value as part of a list or an object, where commas and brackets around it keep it apart.</summary>
    public static void Append(StringBuilder name, JsonElement value) => Append(name, value, endsAt: null, touchesNext: false);

    /// <summary>Appends a value.</summary>
    /// <param name="name">Where to.</param>
    /// <param name="value">The value as JSON.</param>
    /// <param name="endsAt">The character that follows in the template: a value that holds it is quoted.</param>
    /// <param name="touchesNext">True where another value follows at once: then only quotes can tell where this one ends.</param>
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

    /// <summary>Appends a text, quoted unless it is plain.</summary>
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

    /// <summary>1.10, 1.1 and 1.1E0 are one number; a store keeps no more of a fraction than a double does.</summary>
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
        catch (InvalidOperationException broken)
        {
            throw new FormatException("its JSON holds a text with half of a surrogate pair", broken);
        }
    }

    /// <summary>One instant has one text, whatever offset it was written with. Other texts stay as they are.</summary>
    private static string InUtc(string text) =>
        Instant().IsMatch(text) && DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.None, out var instant)
            ? instant.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF'Z'", CultureInfo.InvariantCulture)
            : text;

    /// <summary>ASCII letters, digits, underscore, and whatever is not ASCII: by code, since Unicode's classes change with its versions.</summary>
    private static bool IsWord(string text)
    {
        foreach (var character in text)
        {
            if (!char.IsAsciiLetterOrDigit(character) && character != '_' && (char.IsAscii(character) || IsControl(character))) return false;
        }

        return text.Length > 0;
    }

    /// <summary>C0, DEL, C1 and the two Unicode line ends: a lock name stays one line wherever it is printed.</summary>
    private static bool IsControl(char character) =>
        character is < ' ' or (>= '\u007F' and <= '\u009F') or '\u2028' or '\u2029';

    /// <summary>Numbers, Guids, dates, times and time spans: marks in them have fixed places.</summary>
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
