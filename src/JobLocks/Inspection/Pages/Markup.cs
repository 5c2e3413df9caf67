using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace JobLocks.Inspection.Pages;

/// <summary>HTML text of a page. Interpolated values are HTML-encoded, except values that are <see cref="Markup"/> themselves.</summary>
internal readonly struct Markup(string? text)
{
    private static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    /// <summary>An empty text.</summary>
    public static Markup None => default;

    /// <summary>Builds the text from an interpolated string: <c>Markup.Of($"&lt;b&gt;{name}&lt;/b&gt;")</c>.</summary>
    public static Markup Of(Handler text) => new(text.ToString());

    /// <summary>Concatenates texts.</summary>
    public static Markup Join(IEnumerable<Markup> parts) => new(string.Concat(parts));

    public override string ToString() => text ?? "";

    /// <summary>Encodes the interpolated values.</summary>
    [InterpolatedStringHandler]
    internal readonly struct Handler(int literalLength, int formattedCount)
    {
        private readonly StringBuilder _text = new(literalLength + (formattedCount * 16));

        public void AppendLiteral(string literal) => _text.Append(literal);

        public void AppendFormatted(Markup html) => _text.Append(html.ToString());

        public void AppendFormatted(string? value) => _text.Append(Encoder.Encode(value ?? ""));

        public void AppendFormatted<T>(T value)
            where T : IFormattable => AppendFormatted(value.ToString(null, CultureInfo.InvariantCulture));

        public override string ToString() => _text.ToString();
    }
}
