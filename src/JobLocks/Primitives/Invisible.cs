using System.Globalization;
using System.Text;

namespace JobLocks.Primitives;

/// <summary>
/// Which characters a person cannot see, or cannot tell from a space: two names that differ in them look the same, text can hide in them, and some turn the
/// direction of what follows.
/// </summary>
internal static class Invisible
{
    // Of Default_Ignorable_Code_Point, which .NET does not know, what the categories below do not have: joiners, fillers, variation selectors. And the
    // braille pattern without a dot. See https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt
    private static readonly (int First, int Last)[] WithoutPicture =
    [
        (0x034F, 0x034F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2800, 0x2800), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFFA0, 0xFFA0), (0xE0000, 0xE0FFF),
    ];

    public static bool Is(Rune letter) => Rune.GetUnicodeCategory(letter) switch
    {
        UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => true,
        UnicodeCategory.Surrogate or UnicodeCategory.PrivateUse or UnicodeCategory.OtherNotAssigned => true,
        UnicodeCategory.SpaceSeparator => letter.Value != ' ',
        _ => Array.Exists(WithoutPicture, range => letter.Value >= range.First && letter.Value <= range.Last),
    };
}
