using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;

namespace JobLocks.Inspection;

/// <summary>Text of a page. What is put into its holes is encoded, whatever it is, unless it is such text itself.</summary>
internal readonly struct Markup(string? text)
{
    private static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    /// <summary>Nothing.</summary>
    public static Markup None => default;

    /// <summary>Text with holes: <c>Markup.Of($"&lt;b&gt;{name}&lt;/b&gt;")</c>.</summary>
    public static Markup Of(Handler text) => new(text.ToString());

    /// <summary>One after the other.</summary>
    public static Markup Join(IEnumerable<Markup> parts) => new(string.Concat(parts));

    public override string ToString() => text ?? "";

    /// <summary>Encodes the holes.</summary>
    [InterpolatedStringHandler]
    internal readonly struct Handler(int literalLength, int formattedCount)
    {
        private readonly StringBuilder _text = new(literalLength + (formattedCount * 16));

        public void AppendLiteral(string literal) => _text.Append(literal);

        public void AppendFormatted(Markup html) => _text.Append(html.ToString());

        public void AppendFormatted(string? hole) => _text.Append(Encoder.Encode(hole ?? ""));

        public void AppendFormatted<T>(T hole)
            where T : IFormattable => AppendFormatted(hole.ToString(null, CultureInfo.InvariantCulture));

        public override string ToString() => _text.ToString();
    }
}
