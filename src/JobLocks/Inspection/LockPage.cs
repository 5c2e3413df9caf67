namespace JobLocks;

/// <summary>One page of a list.</summary>
/// <typeparam name="T">The type of the items.</typeparam>
/// <param name="Items">The items of this page.</param>
/// <param name="Total">How many items the whole list had when it was read.</param>
public sealed record LockPage<T>(IReadOnlyList<T> Items, long Total);
