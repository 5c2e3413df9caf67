using System.Threading.Channels;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Schedulers;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>Offers runs of a few names to two processes, which have warmed up on others, and collects who had which lock from when to when.</summary>
internal sealed class WaitingTurn(Bench bench)
{
    private const int Processes = 2;
    private const int NamesToWarmUp = 8;
    private const int MillisecondsToWarmUp = 5;
    private const string WarmUp = "warm-up-";

    /// <summary>The processor time of the last measured runs; null if the system does not say.</summary>
    public ProcessorUse? Used { get; private set; }

    /// <summary>Called when the processes have warmed up, before the measured runs are offered.</summary>
    public Func<Task> OnWarm { get; init; } = static () => Task.CompletedTask;

    /// <summary>How many runs without a lock, which do nothing, are offered after the others.</summary>
    public int Others { get; init; }

    /// <param name="way">Who works, and what becomes of those that meet a held lock.</param>
    /// <param name="runs">How many.</param>
    /// <param name="names">Of how many names, in turn.</param>
    /// <param name="milliseconds">How long each holds its lock.</param>
    /// <param name="atMost">After this it is over: what has run until then counts.</param>
    /// <param name="stop">Ends it.</param>
    public async Task<IReadOnlyList<Held>> RunAsync(WaitingWay way, int runs, int names, int milliseconds, TimeSpan atMost, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "waiting", stop);
        var told = Channel.CreateUnbounded<Held>();
        using var end = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var servers = new List<ChildProcess>();
        var reading = new List<Task>();
        try
        {
            while (servers.Count < Processes)
            {
                servers.Add(ChildProcess.Start(schema.ConnectionString, WaitingServer.Verb, way.ToString(), $"node-{servers.Count}"));
                await servers[^1].ExpectAsync(WaitingServer.Ready, stop);
                reading.Add(ReadAsync(servers[^1], told.Writer, end.Token));
            }

            await OfferAsync(servers, new(WarmUp, bench.Effort.WaitingWarmUp, NamesToWarmUp, MillisecondsToWarmUp));
            await CollectAsync(told.Reader, isWarmUp: true, bench.Effort.WaitingWarmUp, bench.Effort.WaitingAtMost / 3, stop);
            await OnWarm();
            var busy = new Busy();
            await OfferAsync(servers, new("name-", runs, names, milliseconds));
            if (Others > 0) await OfferAsync(servers, new(WaitingOffer.Others, Others, 1, 0));
            var held = await CollectAsync(told.Reader, isWarmUp: false, runs + Others, atMost, stop);
            Used = busy.Read();
            return held;
        }
        finally
        {
            await end.CancelAsync();
            await Task.WhenAll(reading);
            foreach (var server in servers) await server.DisposeAsync();
        }
    }

    private static async Task ReadAsync(ChildProcess server, ChannelWriter<Held> told, CancellationToken stop)
    {
        try
        {
            while (await server.AnswerAsync(stop) is { } line)
            {
                if (line.StartsWith("out ", StringComparison.Ordinal)) told.TryWrite(Held.Read(line));
            }
        }
        catch (OperationCanceledException)
        {
            // Nobody wants to know any more.
        }
    }

    private static async Task<IReadOnlyList<Held>> CollectAsync(ChannelReader<Held> told, bool isWarmUp, int runs, TimeSpan atMost, CancellationToken stop)
    {
        var held = new List<Held>();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(atMost);
        try
        {
            while (held.Count < runs)
            {
                var one = await told.ReadAsync(patience.Token);
                if (one.Name.StartsWith(WarmUp, StringComparison.Ordinal) == isWarmUp) held.Add(one);
            }
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            // It took too long.
        }

        return held;
    }

    /// <summary>Each node offers a part: its own workers see that at once, as they would in an application.</summary>
    private static async Task OfferAsync(List<ChildProcess> servers, WaitingOffer offer)
    {
        for (var node = 0; node < servers.Count; node++) await servers[node].OrderAsync(WaitingServer.Offer, offer with { Part = node, Parts = servers.Count });
    }
}
