using Hangfire.Common;
using Hangfire.States;
using Hangfire.Storage.Monitoring;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>
/// A run of <see cref="MechanismJob"/> that meets a held lock: what Hangfire shows of it while it is to come later, and when it has come. The base of
/// fixtures that ask each mechanism of Hangfire that reacts to a run.
/// </summary>
public abstract class Mechanisms : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1, Workers = 5 };

    /// <summary>Puts a run off while it is looked at, and then lets it come.</summary>
    /// <param name="method">The job.</param>
    /// <param name="act">What is done while the run is to come later; asked for its id.</param>
    /// <param name="stop">Gives up.</param>
    private protected async Task<(string Id, Stage Stage)> PutOffAsync(string method, Func<string, Task> act, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        var id = Create(method, stage);
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        await act(id);
        await held!.DisposeAsync();
        return (id, stage);
    }

    private protected string Create(string method, Stage stage)
    {
        var called = typeof(MechanismJob).GetMethod(method)!;
        object?[] arguments = called.GetParameters().Length == 1 ? [stage.Id] : [stage.Id, null];
        return Servers.Client.Create(new Job(typeof(MechanismJob), called, arguments), new EnqueuedState());
    }

    private protected StatisticsDto Statistics => Servers[0].Storage.GetMonitoringApi().GetStatistics();

    private protected JobDetailsDto Details(string id) => Servers[0].Storage.GetMonitoringApi().JobDetails(id);
}
