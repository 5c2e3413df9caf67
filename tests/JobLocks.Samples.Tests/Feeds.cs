namespace JobLocks.Samples.Tests;

/// <summary>Feed files: the first reports of the real one, whole or spoilt.</summary>
internal static class Feeds
{
    public const string Header = "report_id,client_id,client,flight_date,airport,aircraft,phase,species,damage,total_cost_usd";

    /// <summary>Four clients with 300 reports each: as many pages as it takes for runs to meet.</summary>
    public static string Small() => Write([Header, .. Enumerable.Range(0, 1200).Select(static i => Report(i + 1, (i % 4) + 1))]);

    public static string Write(params string[] lines)
    {
        var file = Path.Combine(Directory.CreateTempSubdirectory("joblocks-feed-").FullName, "feed.csv");
        File.WriteAllLines(file, lines);
        return file;
    }

    public static string Report(int report, int client) => $"{report},{client},Client {client},1990-01-08,Some Airport,B-737,Climb,Gull,None,0";
}
