using System.Diagnostics;
using System.Globalization;
using JobLocks.Benchmarks.Peers;

namespace JobLocks.Benchmarks.Children;

/// <summary>What many held locks cost, in a process that has done nothing else before.</summary>
/// <param name="Take">Microseconds to take one of them, one after the other.</param>
/// <param name="Pair">Microseconds to take and release one more, when all are held.</param>
/// <param name="ManagedBytes">On the heap, for each lock.</param>
/// <param name="PrivateBytes">Of the process, for each lock.</param>
internal sealed record HeldLocks(double Take, double Pair, double ManagedBytes, double PrivateBytes)
{
    private const int Pairs = 200;

    public static async Task<string> MeasureAsync(ILockPeer peer, int count, CancellationToken stop)
    {
        await TimePairsAsync(peer, stop);
        var (managed, bytes) = (GC.GetTotalMemory(forceFullCollection: true), PrivateMemory());

        var handles = new List<IAsyncDisposable>(count);
        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < count; i++) handles.Add(await peer.Lock($"benchmark-held-{i}").TryTakeAsync(stop) ?? throw new InvalidOperationException($"Lock {i} of {count} was refused."));
        var taking = Stopwatch.GetElapsedTime(started);

        managed = GC.GetTotalMemory(forceFullCollection: true) - managed;
        bytes = PrivateMemory() - bytes;
        var pair = await TimePairsAsync(peer, stop);
        foreach (var handle in handles) await handle.DisposeAsync();
        return string.Create(CultureInfo.InvariantCulture, $"{taking.TotalMicroseconds / count} {pair} {(double)managed / count} {(double)bytes / count}");
    }

    public static HeldLocks Parse(string answer)
    {
        var numbers = answer.Split(' ').Select(static word => double.Parse(word, CultureInfo.InvariantCulture)).ToList();
        return new(numbers[0], numbers[1], numbers[2], numbers[3]);
    }

    private static async Task<double> TimePairsAsync(ILockPeer peer, CancellationToken stop)
    {
        var one = peer.Lock("benchmark-one-more");
        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < Pairs; i++) await using ((await one.TryTakeAsync(stop))!) { }
        return Stopwatch.GetElapsedTime(started).TotalMicroseconds / Pairs;
    }

    private static long PrivateMemory()
    {
        using var process = Process.GetCurrentProcess();
        return process.PrivateMemorySize64;
    }
}
