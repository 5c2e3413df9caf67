using System.Globalization;
using CsvHelper;
using CsvHelper.Configuration;

namespace ClientSync;

/// <summary>The remote system that the clients are synchronised from: it answers page by page, and each page takes its time.</summary>
internal sealed class StrikeFeed
{
    /// <summary>Reports on a page.</summary>
    public const int PageSize = 100;

    /// <summary>How long the remote system needs for a page. This delay stands for the network and the work at its other end.</summary>
    public static readonly TimeSpan PageTime = TimeSpan.FromMilliseconds(100);

    private readonly ILookup<int, StrikeReport> _byClient;

    private StrikeFeed(List<StrikeReport> reports)
    {
        Count = reports.Count;
        _byClient = reports.OrderBy(static report => report.ReportId).ToLookup(static report => report.ClientId);
        Clients = reports.GroupBy(static report => report.ClientId).OrderBy(static client => client.Key).ToDictionary(static client => client.Key, static client => client.First().Client);
    }

    public int Count { get; }

    /// <summary>The clients' names by their ids.</summary>
    public IReadOnlyDictionary<int, string> Clients { get; }

    /// <summary>Reads the whole file and checks every line.</summary>
    /// <exception cref="BadFeedException">The file is missing, empty, lacks a column, or has a broken line.</exception>
    public static StrikeFeed Read(string file)
    {
        if (!File.Exists(file)) throw new BadFeedException($"{file}: there is no such file");

        var line = 1;
        using var csv = new CsvReader(new StreamReader(file), new CsvConfiguration(CultureInfo.InvariantCulture) { DetectColumnCountChanges = true });
        try
        {
            if (!csv.Read() || !csv.ReadHeader()) throw new BadFeedException($"{file}, line 1: the file is empty");

            var missing = Columns.Except(csv.HeaderRecord!, StringComparer.Ordinal).ToList();
            if (missing.Count > 0) throw new BadFeedException($"{file}, line 1: the column {missing[0]} is missing");

            var reports = new Dictionary<int, StrikeReport>();
            while (Next())
            {
                if (csv.Parser.RawRecord.AsSpan().ContainsAny('\0', '\uFFFD')) throw new FormatException("the line is no UTF-8 text");

                var report = ReadReport(csv);
                if (!reports.TryAdd(report.ReportId, report)) throw new BadFeedException($"{file}, line {line}: report {report.ReportId} stands in the file twice");
            }

            return reports.Count > 0 ? new([.. reports.Values]) : throw new BadFeedException($"{file}, line 1: the file has no reports");
        }
        catch (FormatException broken)
        {
            throw new BadFeedException($"{file}, line {line}: {broken.Message}");
        }
        catch (CsvHelperException broken)
        {
            throw new BadFeedException($"{file}, line {line}: {Cause(broken)}");
        }

        // A field may run over several lines: what is broken is found where it begins.
        bool Next()
        {
            line = csv.Parser.RawRow + 1;
            return csv.Read();
        }
    }

    /// <summary>The next reports of a client; empty when it has no more.</summary>
    public async Task<IReadOnlyList<StrikeReport>> PageAsync(int clientId, int after, CancellationToken stop)
    {
        await Task.Delay(PageTime, stop);
        return [.. _byClient[clientId].SkipWhile(report => report.ReportId <= after).Take(PageSize)];
    }

    private static readonly string[] Columns =
        ["report_id", "client_id", "client", "flight_date", "airport", "aircraft", "phase", "species", "damage", "total_cost_usd"];

    private static StrikeReport ReadReport(CsvReader csv) => new(
        ReportId(csv),
        Whole(csv, "client_id"),
        csv.GetField("client")!,
        DateOnly.TryParseExact(csv.GetField("flight_date"), "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var day) ? day : throw Wrong(csv, "flight_date", "no date such as 1990-01-08"),
        csv.GetField("airport")!,
        csv.GetField("aircraft")!,
        csv.GetField("phase")!,
        csv.GetField("species")!,
        csv.GetField("damage")!,
        Whole(csv, "total_cost_usd"));

    /// <summary>A watermark of 0 means that nothing is in yet, so that a report 0 would never come in.</summary>
    private static int ReportId(CsvReader csv) => Whole(csv, "report_id") is > 0 and var id ? id : throw Wrong(csv, "report_id", "below 1");

    private static int Whole(CsvReader csv, string column) =>
        int.TryParse(csv.GetField(column), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : throw Wrong(csv, column, "no whole number");

    private static FormatException Wrong(CsvReader csv, string column, string cause) => new($"{column} is \"{csv.GetField(column)}\", which is {cause}");

    private static string Cause(CsvHelperException broken) => broken switch
    {
        BadDataException { Message: var message } when message.Contains("number of columns", StringComparison.OrdinalIgnoreCase) => "the line has not as many fields as the header",
        BadDataException => "a quote stands where none may stand",
        _ => broken.Message.Split('\n')[0].Trim(),
    };
}
