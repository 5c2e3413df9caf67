using System.Globalization;
using JobLocks.Keys;
using JobLocks.Primitives;

namespace JobLocks;

/// <summary>A program that is not JobLocks and holds advisory locks that JobLocks uses for its own work.</summary>
/// <remarks>PostgreSQL lets every role that may connect take every advisory lock. JobLocks goes on another way where it can, and says so here.</remarks>
public sealed class InternalLockHolder
{
    /// <summary>The first number of the locks: what JobLocks uses them for. <c>classid</c> in <c>pg_locks</c>.</summary>
    public required int Class { get; init; }

    /// <summary>The second number of one of the locks: for which name or job store. <c>objid</c> in <c>pg_locks</c>.</summary>
    public required int Number { get; init; }

    /// <summary>How many locks of this class it holds.</summary>
    public required int Count { get; init; }

    /// <summary>Whether it shares the locks with others.</summary>
    public required bool IsShared { get; init; }

    /// <summary>The server's process behind its session: <c>pid</c> in <c>pg_stat_activity</c>. 0 for a prepared transaction.</summary>
    public required int Backend { get; init; }

    /// <summary>The role that its session belongs to; null where it is not known.</summary>
    public string? Role { get; init; }

    /// <summary>The <c>application_name</c> of its session; null where it has none.</summary>
    public string? Application { get; init; }

    /// <summary>The address that its session comes from; null where it is local, or where this role may not see it.</summary>
    public string? Address { get; init; }

    /// <summary>What the locks stop, and how the work goes on.</summary>
    public string Effect => InternalKeys.EffectOf(Class, IsShared);

    /// <summary>The statement that ends its session, and with it the locks.</summary>
    public string Cure => Backend == 0
        ? "SELECT * FROM pg_prepared_xacts, then ROLLBACK PREPARED"
        : string.Create(CultureInfo.InvariantCulture, $"SELECT pg_terminate_backend({Backend})");

    /// <summary>One sentence: who holds what, what that stops, and what to do.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Who} holds {What}: {Effect}. To end it: {Cure}");

    private string What => Count == 1 ? $"the internal lock ({Class}, {Number})" : $"{Count} internal locks of the class {Class}";

    private string Who => Backend == 0
        ? "A prepared transaction"
        : string.Create(
            CultureInfo.InvariantCulture,
            $"{(string.IsNullOrEmpty(Application) ? "An application without a name" : $"The application {DisplayText.Name(Application)}")} of the role {DisplayText.Name(Role ?? "(unknown)")} (backend {Backend}{(Address is null ? "" : $" from {Address}")})");
}
