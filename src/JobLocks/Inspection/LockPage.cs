namespace JobLocks;

/// <summary>A part of a list that may be long.</summary>
/// <typeparam name="T">What is listed.</typeparam>
/// <param name="Items">This part.</param>
/// <param name="Total">How many there are in all, at the moment of reading.</param>
public sealed record LockPage<T>(IReadOnlyList<T> Items, long Total);
