using System.Diagnostics;
using System.Globalization;
using Microsoft.Extensions.Configuration;

namespace JobLocks.Tests.Support;

/// <summary>What another process does with a lock that is watched: it says when it got it, lost it and released it, and does as told.</summary>
internal static class WatchedLock
{
    /// <summary>The argument with which the other process watches a lock.</summary>
    public const string Argument = "watch";

    /// <summary>Said with the time after the lock was taken. <see cref="Refused"/> is said in its place.</summary>
    public const string Granted = "granted";

    public const string Refused = "refused";

    /// <summary>Said with the time at which <see cref="JobLockHandle.Lost"/> fired, if it does.</summary>
    public const string Lost = "lost";

    /// <summary>Told to give the lock back; <see cref="Released"/> is the answer.</summary>
    public const string Release = "release";

    /// <summary>Said with the time after the lock was given back.</summary>
    public const string Released = "released";

    /// <summary>Told to say the fencing token of the lock; the same word and the token are the answer.</summary>
    public const string Token = "token";

    /// <summary>Told to end at once, with the lock in hand.</summary>
    public const string Exit = "exit";

    public static async Task<int> RunAsync(string[] arguments)
    {
        var settings = new ConfigurationBuilder().AddCommandLine(arguments[2..]).Build();
        await using var locks = AdvisoryLocks.Connect(arguments[0], options => settings.Bind(options));
        var handle = await locks.TryAcquireAsync(arguments[1]);
        Say(handle is null ? Refused : Granted);
        handle?.Lost.Register(static () => Say(Lost));

        // Without a line, the test itself has ended.
        while (await Console.In.ReadLineAsync() is { } told && !string.Equals(told, Exit, StringComparison.Ordinal))
        {
            if (string.Equals(told, Token, StringComparison.Ordinal))
            {
                Say(Token, handle!.FencingToken);
                continue;
            }

            if (!string.Equals(told, Release, StringComparison.Ordinal)) throw new InvalidOperationException($"Told to '{told}', which means nothing here.");
            if (handle is not null) await handle.DisposeAsync();
            Say(Released);
        }

        Environment.Exit(0);
        return 0;
    }

    /// <summary>The time is taken first: the console may keep us waiting.</summary>
    private static void Say(string word) => Say(word, Stopwatch.GetTimestamp());

    private static void Say(string word, long number) => Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{word} {number}"));
}
