using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>Where more occurrences of a repeating trigger waited than its overlap policy lets wait.</summary>
internal static class Repeats
{
    /// <summary>One line for each series. A recovered occurrence has a trigger of its own and waits beside the next one.</summary>
    public static IEnumerable<string> Check(Record record, Runs runs)
    {
        var most = record.Looks
            .SelectMany(static look => look.Waiting.GroupBy(static run => run).Select(static of => (Run: of.Key, Count: of.Count())))
            .GroupBy(static of => of.Run, static of => of.Count)
            .ToDictionary(static of => of.Key, static of => of.Max());
        return runs.Offers
            .Where(offer => offer.Series is { } series && most.GetValueOrDefault(offer.Number) > series.MostWaiting && !runs.IsCutFromContinuations(offer))
            .Select(offer => Say($"too many waiting: {most[offer.Number]} occurrences of run {offer.Number} waited, whose policy is {offer.Series!.Policy}"));
    }

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
