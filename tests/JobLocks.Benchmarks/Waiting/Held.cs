using System.Globalization;
using JobLocks.Benchmarks.Children;

namespace JobLocks.Benchmarks.Waiting;

/// <summary>One run that had the lock, as its process tells it on a line of its own.</summary>
/// <param name="Name">Which lock.</param>
/// <param name="Number">Which run.</param>
/// <param name="Entered">When it began, on the clock of <see cref="Clock"/>.</param>
/// <param name="Left">When it ended.</param>
internal sealed record Held(string Name, int Number, long Entered, long Left)
{
    /// <summary>What each job does.</summary>
    public static void For(string name, int number, int milliseconds)
    {
        var entered = Clock.Now;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"in {name} {number} {entered}"));
#pragma warning disable RS0030 // To hold the lock for so long is the job.
        Thread.Sleep(milliseconds);
#pragma warning restore RS0030
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"out {name} {number} {entered} {Clock.Now}"));
    }

    public static Held Read(string line)
    {
        var words = line.Split(' ');
        return new(words[1], Number32(words[2]), Number64(words[3]), words.Length > 4 ? Number64(words[4]) : 0);
    }

    private static int Number32(string word) => int.Parse(word, CultureInfo.InvariantCulture);

    private static long Number64(string word) => long.Parse(word, CultureInfo.InvariantCulture);
}
