namespace JobLocks.AspNetCore;

/// <summary>
/// The JSON answers, in types that an OpenAPI description reproduces exactly: keys and enumerations as text, because a number of JavaScript has
/// 53 bits, and durations in seconds. They are separate from the .NET types, so that those can change while a version of the path stays the same.
/// </summary>
internal static class JsonAnswers
{
    public static OverviewAnswer Of(LockOverview source) =>
        new(source.At, source.Held, source.Waiting, [.. source.Processes.Select(static item => new ProcessAnswer(Of(item.Session), item.Locks))], [.. source.LongestQueues.Select(Of)], source.HasNames, [.. source.InternalLockHolders.Select(Of)],
            [.. source.Samples.Select(static item => new SampleAnswer(item.At, item.Held, item.Waiting, item.FreeWhileWaiting))]);

    public static PageAnswer<HeldAnswer> Of(LockPage<HeldLock> source) => new([.. source.Items.Select(Of)], source.Total);

    public static PageAnswer<WaitingAnswer> Of(LockPage<WaitingName> source) => new([.. source.Items.Select(Of)], source.Total);

    public static PageAnswer<RunAnswer> Of(LockPage<QueuedRun> source) => new([.. source.Items.Select(Of)], source.Total);

    public static IReadOnlyList<MatchAnswer> Of(IReadOnlyList<LockMatch> source) => [.. source.Select(static item => new MatchAnswer(item.Key.ToString(), item.Name, item.Because))];

    public static NameAnswer Of(NamedLock source) => new(
        source.Key.ToString(),
        source.Name,
        [.. source.Held.Select(Of)],
        Of(source.Waiting),
        source.Runs,
        Seconds(source.UsualHold),
        source.Refused,
        source.Waited,
        [.. source.LastHour.Select(static item => new MinuteAnswer(item.Minute, item.Runs, Seconds(item.Held), item.Refused, item.Waited, Seconds(item.FreeWhileWaiting)))],
        source.Timeline is { } timeline ? Of(timeline) : null);

    private static TimelineAnswer Of(LockTimeline source) => new(
        source.From,
        source.To,
        source.CompleteUntil,
        [.. source.Runs.Select(static item => new TimelineRunAnswer(item.Run, item.WaitingSince, item.HeldSince, item.ReleasedAt, item.IsHolding))],
        source.LeftOut,
        source.IsComplete);

    private static HeldAnswer Of(HeldLock source) => new(source.Key.ToString(), source.NameKey.ToString(), source.Name, Of(source.Mode), Of(source.Holder), Seconds(source.UsualHold));

    private static WaitingAnswer Of(WaitingName source) =>
        new(source.Key.ToString(), source.Name, source.Length, source.Since, source.Holder is { } holder ? Of(holder) : null, Seconds(source.UsualHold), source.Unserved);

    private static RunAnswer Of(QueuedRun source) =>
        new(source.Key.ToString(), source.Name, source.Position, Of(source.Mode), source.Scheduler, source.Store, source.Run, source.Job, source.Queue, source.Since, source.WokenAt, source.IsServed, source.IsAboutToStart);

    private static HolderAnswer Of(LockHolder source) =>
        new(source.Run, source.Store, source.Application, source.Host, source.ProcessId, source.Backend, source.Address, source.Since, source.ConnectedSince, source.IsForeign);

    private static InternalLockAnswer Of(InternalLockHolder source) => new(
        source.Class, source.Number, source.Count, Of(source.IsShared ? LockMode.Shared : LockMode.Exclusive), source.Backend, source.Role, source.Application, source.Address, source.Effect, source.Remedy);

    private static string Of(LockMode mode) => mode == LockMode.Shared ? "shared" : "exclusive";

    private static double Seconds(TimeSpan source) => Math.Round(source.TotalSeconds, 3);

    private static double? Seconds(TimeSpan? source) => source is { } time ? Seconds(time) : null;

    internal sealed record OverviewAnswer(
        DateTimeOffset At, long Held, long Waiting, IReadOnlyList<ProcessAnswer> Processes, IReadOnlyList<WaitingAnswer> LongestQueues, bool HasNames,
        IReadOnlyList<InternalLockAnswer> InternalLockHolders, IReadOnlyList<SampleAnswer> Samples);

    internal sealed record SampleAnswer(DateTimeOffset At, long Held, long Waiting, long FreeWhileWaiting);

    internal sealed record InternalLockAnswer(
        int Class, int Number, int Count, string Mode, int Backend, string? Role, string? Application, string? Address, string Effect, string Remedy);

    internal sealed record ProcessAnswer(HolderAnswer Session, long Locks);

    internal sealed record PageAnswer<T>(IReadOnlyList<T> Items, long Total);

    internal sealed record HeldAnswer(string Key, string NameKey, string? Name, string Mode, HolderAnswer Holder, double? UsualHold);

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
        long Position,
        string Mode,
        string Scheduler,
        string Store,
        string Run,
        string? Job,
        string Queue,
        DateTimeOffset Since,
        DateTimeOffset? WokenAt,
        bool IsServed,
        bool IsAboutToStart);

    internal sealed record NameAnswer(
        string Key,
        string? Name,
        IReadOnlyList<HeldAnswer> Held,
        PageAnswer<RunAnswer> Waiting,
        long Runs,
        double? UsualHold,
        long Refused,
        long Waited,
        IReadOnlyList<MinuteAnswer> LastHour,
        TimelineAnswer? Timeline);

    internal sealed record TimelineAnswer(
        DateTimeOffset From, DateTimeOffset To, DateTimeOffset CompleteUntil, IReadOnlyList<TimelineRunAnswer> Runs, long LeftOut, bool IsComplete);

    internal sealed record TimelineRunAnswer(string? Run, DateTimeOffset? WaitingSince, DateTimeOffset? HeldSince, DateTimeOffset? ReleasedAt, bool IsHolding);

    internal sealed record MinuteAnswer(DateTimeOffset Minute, long Runs, double Held, long Refused, long Waited, double FreeWhileWaiting);

    internal sealed record MatchAnswer(string Key, string? Name, string Because);

    internal sealed record SentenceAnswer(string Run, string Sentence);
}
