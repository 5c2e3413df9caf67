namespace JobLocks.AspNetCore;

/// <summary>
/// What is answered as JSON, in types that a description by OpenAPI says the same of: keys and kinds as text, since a number of JavaScript has
/// 53 bits, and durations in seconds. Apart from the types of .NET, so that those may change and a version of the path does not.
/// </summary>
internal static class JsonAnswers
{
    public static OverviewAnswer Of(LockOverview from) =>
        new(from.At, from.Held, from.Waiting, [.. from.Processes.Select(static one => new ProcessAnswer(Of(one.Session), one.Locks))], [.. from.Pressed.Select(Of)], from.HasNames, [.. from.InternalLockHolders.Select(Of)]);

    public static PageAnswer<HeldAnswer> Of(LockPage<HeldLock> from) => new([.. from.Items.Select(Of)], from.Total);

    public static PageAnswer<WaitingAnswer> Of(LockPage<WaitingName> from) => new([.. from.Items.Select(Of)], from.Total);

    public static PageAnswer<RunAnswer> Of(LockPage<QueuedRun> from) => new([.. from.Items.Select(Of)], from.Total);

    public static IReadOnlyList<MatchAnswer> Of(IReadOnlyList<LockMatch> from) => [.. from.Select(static one => new MatchAnswer(one.Key.ToString(), one.Name, one.Because))];

    public static NameAnswer Of(NamedLock from) => new(
        from.Key.ToString(),
        from.Name,
        [.. from.Held.Select(Of)],
        Of(from.Waiting),
        from.Runs,
        Seconds(from.UsualHold),
        from.Refused,
        from.Waited,
        [.. from.LastHour.Select(static one => new MinuteAnswer(one.Minute, one.Runs, Seconds(one.Held), one.Refused, one.Waited))]);

    private static HeldAnswer Of(HeldLock from) => new(from.Key.ToString(), from.Line.ToString(), from.Name, Of(from.Mode), Of(from.Holder), Seconds(from.UsualHold));

    private static WaitingAnswer Of(WaitingName from) =>
        new(from.Key.ToString(), from.Name, from.Length, from.Since, from.Holder is { } holder ? Of(holder) : null, Seconds(from.UsualHold), from.Unserved);

    private static RunAnswer Of(QueuedRun from) =>
        new(from.Key.ToString(), from.Name, from.Place, Of(from.Mode), from.Scheduler, from.Store, from.Run, from.Job, from.Queue, from.Since, from.TurnCame, from.IsServed);

    private static HolderAnswer Of(LockHolder from) =>
        new(from.Run, from.Store, from.Application, from.Host, from.ProcessId, from.Backend, from.Address, from.Since, from.ConnectedSince, from.IsForeign);

    private static InternalLockAnswer Of(InternalLockHolder from) => new(
        from.Class, from.Number, from.Count, Of(from.IsShared ? LockMode.Shared : LockMode.Exclusive), from.Backend, from.Role, from.Application, from.Address, from.Effect, from.Cure);

    private static string Of(LockMode mode) => mode == LockMode.Shared ? "shared" : "exclusive";

    private static double Seconds(TimeSpan from) => Math.Round(from.TotalSeconds, 3);

    private static double? Seconds(TimeSpan? from) => from is { } some ? Seconds(some) : null;

    internal sealed record OverviewAnswer(
        DateTimeOffset At, long Held, long Waiting, IReadOnlyList<ProcessAnswer> Processes, IReadOnlyList<WaitingAnswer> Pressed, bool HasNames,
        IReadOnlyList<InternalLockAnswer> InternalLockHolders);

    internal sealed record InternalLockAnswer(
        int Class, int Number, int Count, string Mode, int Backend, string? Role, string? Application, string? Address, string Effect, string Cure);

    internal sealed record ProcessAnswer(HolderAnswer Session, long Locks);

    internal sealed record PageAnswer<T>(IReadOnlyList<T> Items, long Total);

    internal sealed record HeldAnswer(string Key, string Line, string? Name, string Mode, HolderAnswer Holder, double? UsualHold);

    internal sealed record HolderAnswer(
        string? Run,
        string? Store,
        string? Application,
        string? Host,
        int? ProcessId,
        int Backend,
        string? Address,
        DateTimeOffset? Since,
        DateTimeOffset? ConnectedSince,
        bool IsForeign);

    internal sealed record WaitingAnswer(string Key, string Name, long Length, DateTimeOffset Since, HolderAnswer? Holder, double? UsualHold, long Unserved);

    internal sealed record RunAnswer(
        string Key,
        string Name,
        long Place,
        string Mode,
        string Scheduler,
        string Store,
        string Run,
        string? Job,
        string Queue,
        DateTimeOffset Since,
        DateTimeOffset? TurnCame,
        bool IsServed);

    internal sealed record NameAnswer(
        string Key,
        string? Name,
        IReadOnlyList<HeldAnswer> Held,
        PageAnswer<RunAnswer> Waiting,
        long Runs,
        double? UsualHold,
        long Refused,
        long Waited,
        IReadOnlyList<MinuteAnswer> LastHour);

    internal sealed record MinuteAnswer(DateTimeOffset Minute, long Runs, double Held, long Refused, long Waited);

    internal sealed record MatchAnswer(string Key, string? Name, string Because);

    internal sealed record SentenceAnswer(string Run, string Sentence);
}
