using System.Globalization;

namespace JobLocks.Inspection.Pages;

/// <summary>The part of a list that a page shows, and the neighbouring parts.</summary>
/// <param name="Start">How many items of the list are before the part.</param>
/// <param name="Shown">How many items the part has.</param>
/// <param name="Total">How many items the list has.</param>
internal sealed record ListPart(int Start, int Shown, long Total)
{
    /// <summary>How many items a part has at most.</summary>
    public const int Size = 100;

    /// <summary>Whether the part is the whole list.</summary>
    public bool IsWhole => Start == 0 && Shown >= Total;

    /// <summary>The start of the previous part; null for the first part. The list may have become shorter than the start of this part.</summary>
    public long? PreviousStart => Start > 0 ? Math.Max(0, Math.Min(Start - Size, (Total - 1) / Size * Size)) : null;

    /// <summary>The start of the next part; null for the last part.</summary>
    public int? NextStart => Start + Shown < Total ? Start + Size : null;

    /// <summary>The part of a list that was read.</summary>
    public static ListPart Of<T>(LockPage<T> page, int start) => new(start, page.Items.Count, page.Total);

    /// <summary>The start that a parameter of a query requests; 0 if it does not.</summary>
    public static int StartIn(string? parameter) => int.TryParse(parameter, NumberStyles.None, CultureInfo.InvariantCulture, out var start) ? start : 0;

    /// <summary>Which items are shown, for people.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{(Shown == 0 ? "none" : $"{Start + 1} to {Start + Shown}")} of {Total}");
}
