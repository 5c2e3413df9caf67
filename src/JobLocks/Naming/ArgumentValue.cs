using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace JobLocks.Naming;

/// <summary>
/// An argument in the one form in which it is the same before and after each store's round trip: JSON.
/// A store may turn a decimal into a double, a Guid into a text, an enum into a number; the JSON of all these is equal
/// once it is made canonical by <see cref="ArgumentText"/>.
/// </summary>
internal static class ArgumentValue
{
    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    public static JsonElement ToJson(object? value, Func<object, string> schedulersJson) => value switch
    {
        null => JsonSerializer.SerializeToElement<object?>(null),
        string or char => JsonSerializer.SerializeToElement(Whole(value.ToString()!)),
        JsonElement element => element,
        _ when IsSingle(value.GetType()) => JsonSerializer.SerializeToElement(value, value.GetType(), Json),
        _ => Parse(value, schedulersJson),
    };

    /// <summary>The value with its format applied, in the invariant culture; instants are written in UTC.</summary>
    /// <exception cref="FormatException">The value has no formats, or not this one.</exception>
    public static string Formatted(object value, string format)
    {
        var formattable = value switch
        {
            DateTime { Kind: DateTimeKind.Local } local => local.ToUniversalTime(),
            DateTimeOffset instant => instant.ToUniversalTime(),
            string text => FromText(text),
            JsonElement { ValueKind: JsonValueKind.String } text => FromText(text.GetString()!),
            JsonElement { ValueKind: JsonValueKind.Number } number => number.TryGetInt64(out var whole) ? whole : number.GetDouble(),
            IFormattable other => other,
            _ => null,
        };

        return formattable?.ToString(format, CultureInfo.InvariantCulture)
            ?? throw new FormatException("only numbers, dates, times, Guids and enums have formats");
    }

    /// <summary>True for values whose JSON is one number, text or truth value, the same for every serializer.</summary>
    private static bool IsSingle(Type type) =>
        type.IsPrimitive
        || type.IsEnum
        || type == typeof(decimal)
        || type == typeof(Guid)
        || type == typeof(DateTime)
        || type == typeof(DateTimeOffset)
        || type == typeof(DateOnly)
        || type == typeof(TimeOnly)
        || type == typeof(TimeSpan)
        || type == typeof(Half)
        || type == typeof(Int128)
        || type == typeof(UInt128);

    /// <summary>A serializer puts one replacement character for every broken one, which would give different texts one name.</summary>
    private static string Whole(string text)
    {
        for (var i = 0; i < text.Length; i++)
        {
            if (!char.IsSurrogate(text[i])) continue;
            if (i + 1 == text.Length || !char.IsSurrogatePair(text[i], text[i + 1]))
                throw new FormatException($"its text has half of a surrogate pair at position {i}: somewhere it was cut in the middle of a character");
            i++;
        }

        return text;
    }

    private static JsonElement Parse(object value, Func<object, string> schedulersJson)
    {
        try
        {
            using var document = JsonDocument.Parse(schedulersJson(value));
            return document.RootElement.Clone();
        }
        catch (Exception broken) when (broken is not OutOfMemoryException)
        {
            throw new FormatException($"a {value.GetType()} cannot be written as JSON ({broken.Message})", broken);
        }
    }

    /// <summary>A store that knows only texts gives dates and Guids back as texts: the format still applies to what they were.</summary>
    private static IFormattable? FromText(string text)
    {
        if (DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day)) return day.ToDateTime(default);
        if (DateTime.TryParseExact(text, "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", CultureInfo.InvariantCulture, DateTimeStyles.AdjustToUniversal, out var instant)) return instant;
        if (TimeSpan.TryParseExact(text, "c", CultureInfo.InvariantCulture, out var span)) return span;
        if (Guid.TryParseExact(text, "D", out var guid)) return guid;
        return null;
    }
}
