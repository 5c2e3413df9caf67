namespace JobLocks.Postgres.Reading;

/// <summary>One look at the holders of internal locks, see <see cref="InternalLockSql.Look"/>.</summary>
/// <param name="IsKnown">Whether the session that looks is written down as one of JobLocks.</param>
/// <param name="Holders">The backends that are not, and what they hold.</param>
internal sealed record InternalLockLook(bool IsKnown, IReadOnlyList<InternalLockLook.Holder> Holders)
{
    /// <summary>What one backend holds of one class.</summary>
    internal sealed record Holder(int Backend, int Class, bool IsShared, IReadOnlyList<int> Numbers, string? Role, string? Application, string? Address)
    {
        /// <summary>The same of some of its numbers.</summary>
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
