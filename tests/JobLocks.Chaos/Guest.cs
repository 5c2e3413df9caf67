using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>An application with stores of its own under the same lock names. It is stopped in good order and never comes back.</summary>
internal static class Guest
{
    /// <summary>The ids of its Hangfire jobs begin here, or at a multiple: they are told from those of other applications.</summary>
    public const long FirstJobOf = 1_000_000;

    // Enough for some of them to wait when it is stopped.
    private const int Families = 12;

    /// <returns>Its runs.</returns>
    public static async Task<IReadOnlyDictionary<int, Offer>> ComeAndGoAsync(int number, string connectionString, History history, Draw draw, CancellationToken stop)
    {
        var application = string.Create(CultureInfo.InvariantCulture, $"guest_{number}");
        await history.RunAsync($"CREATE SCHEMA IF NOT EXISTS {application}_quartz", stop);
        await using var offers = await Offers.PrepareAsync(connectionString, application, history, stop);
        await history.RunAsync(string.Create(CultureInfo.InvariantCulture, $"ALTER SEQUENCE {application}_hangfire.job_id_seq RESTART WITH {FirstJobOf * number}"), stop);
        await using var server = await ServerProcess.StartAsync(application, connectionString, application, stop);
        for (var i = 0; i < Families; i++)
        {
            // Writes of job data are noted in the first application only.
            var family = draw.Next();
            if (!family[0].Counts) await offers.OfferAsync([.. family.Select(OfGuest)], stop);
        }

        return offers.All;
    }

    private static Offer OfGuest(Offer offer) => offer with { IsOfGuest = true, Makes = offer.Makes is { } made ? OfGuest(made) : null };
}
