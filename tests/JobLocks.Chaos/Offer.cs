namespace JobLocks.Chaos;

/// <summary>One run that somebody wants.</summary>
/// <param name="Number">Which.</param>
/// <param name="Name">The lock.</param>
/// <param name="Second">Another lock; empty for none.</param>
/// <param name="Kind">How it locks.</param>
/// <param name="IsForHangfire">Or for Quartz.</param>
/// <param name="Milliseconds">How long it takes.</param>
internal sealed record Offer(int Number, string Name, string Second, Kind Kind, bool IsForHangfire, int Milliseconds);
