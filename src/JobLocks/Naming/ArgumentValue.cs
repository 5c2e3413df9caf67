using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace JobLocks.Naming;

/// <summary>
/// Converts an argument to JSON, the form that stays the same when a job store writes and reads the argument. A store may turn a decimal into a
/// double, a Guid into a text, an enum into a number. The JSON of these is equal once <see cref="ArgumentText"/> has made it canonical. Thread-safe.
/// </summary>
internal static class ArgumentValue
{
    private static readonly JsonSerializerOptions Json = new() { NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    /// <summary>The JSON of an argument.</summary>
    /// <param name="value">The argument.</param>
    /// <param name="schedulerJson">Serializes a value that is no single number, text or truth value, as the scheduler does.</param>
    /// <exception cref="FormatException">The value cannot be written as JSON.</exception>
    public static JsonElement ToJson(object? value, Func<object, string> schedulerJson) => value switch
    {
        null => JsonSerializer.SerializeToElement<object?>(null),
        string or char => JsonSerializer.SerializeToElement(RequireValidUnicode(value.ToString()!)),
        JsonElement element => element,
        _ when IsSingle(value.GetType()) => JsonSerializer.SerializeToElement(value, value.GetType(), Json),
        _ => Parse(value, schedulerJson),
    };

    /// <summary>The value as text in a format, in the invariant culture. Instants are converted to UTC.</summary>
    /// <exception cref="FormatException">The value cannot be formatted, or the format is invalid for it.</exception>
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

    /// <summary>Whether the JSON of the type is a single number, text or truth value, which all serializers write alike.</summary>
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

    /// <summary>
    /// Returns the text, or throws where it has half of a surrogate pair. A serializer would replace such halves, and different texts would get the
    /// same lock name.
    /// </summary>
    private static string RequireValidUnicode(string text)
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

    private static JsonElement Parse(object value, Func<object, string> schedulerJson)
    {
        try
        {
            using var document = JsonDocument.Parse(schedulerJson(value));
            return document.RootElement.Clone();
        }
        catch (Exception failure) when (failure is not OutOfMemoryException)
        {
            throw new FormatException($"a {value.GetType()} cannot be written as JSON ({failure.Message})", failure);
        }
    }

    /// <summary>Parses dates, times and Guids that a job store has turned into texts, so that the format still applies; null for any other text.</summary>
    private static IFormattable? FromText(string text)
    {
        if (DateOnly.TryParseExact(text, "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day)) return day.ToDateTime(default);
        if (DateTime.TryParseExact(text, "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", CultureInfo.InvariantCulture, DateTimeStyles.AdjustToUniversal, out var instant)) return instant;
        if (TimeSpan.TryParseExact(text, "c", CultureInfo.InvariantCulture, out var span)) return span;
        if (Guid.TryParseExact(text, "D", out var guid)) return guid;
        return null;
    }
}
