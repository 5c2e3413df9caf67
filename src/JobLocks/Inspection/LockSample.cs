namespace JobLocks;

/// <summary>The number of held locks and of waiting runs at one moment, over all processes.</summary>
/// <param name="At">When the sample was taken, rounded down to the interval of the samples: ten seconds.</param>
/// <param name="Held">How many locks were held, as <see cref="LockOverview.Held"/>.</param>
/// <param name="Waiting">How many runs waited, as <see cref="LockOverview.Waiting"/>.</param>
/// <param name="FreeWhileWaiting">For how many of the names with waiting runs no session held the lock, or a slot of it.</param>
public sealed record LockSample(DateTimeOffset At, long Held, long Waiting, long FreeWhileWaiting);
