using System.Globalization;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>
/// Recognises characters that are invisible or look like a space. Two names that differ only in such characters look the same, text can be hidden
/// in them, and some of them change the direction of the text that follows.
/// </summary>
internal static class Invisible
{
    // The characters of the property Default_Ignorable_Code_Point that the categories below do not contain: joiners, fillers, variation selectors.
    // .NET does not expose that property. Also the braille pattern without a dot (U+2800).
    // See https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
    private static readonly (int First, int Last)[] WithoutGlyph =
    [
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF),
    ];

    public static bool Is(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => true,
        UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned => true,
        UnicodeCategory.SpaceSeparator => rune.Value != ' ',
        _ => Array.Exists(WithoutGlyph, range => rune.Value >= range.First && rune.Value <= range.Last),
    };
}
