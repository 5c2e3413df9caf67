using System.Globalization;
using System.Text;
using JobLocks.Primitives;

namespace JobLocks.Tests.Inspection;

/// <summary>What of a name a person sees in a log and on a page.</summary>
[TestFixture]
public sealed class DisplayTextTests
{
    private static readonly UnicodeCategory[] Unseen =
    [
        UnicodeCategory.Control, UnicodeCategory.Format, UnicodeCategory.LineSeparator, UnicodeCategory.ParagraphSeparator, UnicodeCategory.SpaceSeparator, UnicodeCategory.PrivateUse,
        UnicodeCategory.OtherNotAssigned,
    ];

    [TestCase("a\U000E0041b", "a<U+E0041>b", TestName = "A tag letter")]
    [TestCase("a\U000E007F", "a<U+E007F>", TestName = "The end of tags")]
    [TestCase("a\U000E0100", "a<U+E0100>", TestName = "A variation selector")]
    [TestCase("a\uFE0F", "a<U+FE0F>", TestName = "A presentation selector")]
    [TestCase("a\u200D\u200B\u2060\uFEFF", "a<U+200D><U+200B><U+2060><U+FEFF>", TestName = "Joiners and spaces without width")]
    [TestCase("a\u202E\u2067", "a<U+202E><U+2067>", TestName = "Marks of direction")]
    [TestCase("a\u00A0\u3000b", "a<U+00A0><U+3000>b", TestName = "Spaces that are none")]
    [TestCase("\u3164\u115F\uFFA0\u2800\u034F", "<U+3164><U+115F><U+FFA0><U+2800><U+034F>", TestName = "Letters without a picture")]
    [TestCase("\uE000\uFFFF", "<U+E000><U+FFFF>", TestName = "No characters")]
    [TestCase("a\nb\r\t\0\u007F\u0085\u2028", "a␊b␍␉␀<U+007F><U+0085><U+2028>", TestName = "Control characters")]
    [TestCase("Grüße 東京 😀 a b", "Grüße 東京 😀 a b", TestName = "Plain text")]
    public void Shows_what_cannot_be_seen_by_its_number(string name, string expected) => Assert.That(DisplayText.OneLine(name), Is.EqualTo(expected));

    // No text in metadata can have them.
    [Test]
    public void Shows_half_of_a_pair_by_its_number() => Assert.That(DisplayText.OneLine(new([(char)0xD800, 'a', (char)0xDC00])), Is.EqualTo("<U+D800>a<U+DC00>"));

    [Test]
    public void Lets_no_character_through_that_cannot_be_seen()
    {
        var through = Enumerable.Range(0, 0x11_0000).Where(Rune.IsValid).Select(static number => new Rune(number))
            .Where(static letter => letter.Value != ' ' && Unseen.Contains(Rune.GetUnicodeCategory(letter)) && DisplayText.OneLine(letter.ToString()).Contains(letter.ToString(), StringComparison.Ordinal));

        Assert.That(through, Is.Empty);
    }
}
