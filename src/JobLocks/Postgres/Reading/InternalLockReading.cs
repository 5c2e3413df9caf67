namespace JobLocks.Postgres.Reading;

/// <summary>One reading of the holders of internal locks, see <see cref="InternalLockSql.Read"/>.</summary>
/// <param name="IsKnown">Whether the session that reads is registered as one of JobLocks.</param>
/// <param name="Holders">The backends that are not registered, and what they hold.</param>
internal sealed record InternalLockReading(bool IsKnown, IReadOnlyList<InternalLockReading.Holder> Holders)
{
    /// <summary>The locks of one class that one backend holds.</summary>
    internal sealed record Holder(int Backend, int Class, bool IsShared, IReadOnlyList<int> Numbers, string? Role, string? Application, string? Address)
    {
        /// <summary>The same holder with some of its numbers.</summary>
        public InternalLockHolder With(IReadOnlyList<int> numbers) => new()
        {
            Class = Class,
            Number = numbers[0],
            Count = numbers.Count,
            IsShared = IsShared,
            Backend = Backend,
            Role = Role,
            Application = Application,
            Address = Address,
        };
    }
}
