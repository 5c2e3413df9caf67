using System.Text.Json;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Rules;

namespace JobLocks.Tests.Support;

/// <summary>Runs as a scheduler would hand them over.</summary>
internal static class Calls
{
    /// <summary>The name under which a run with these arguments is locked: (clientId: 4), (region: "eu"), …</summary>
    public static string NameOf(string? template, params (string Name, object? Value)[] arguments) => Call(template, arguments) is var call ? call.Rules[0].NameFor(call) : "";

    /// <summary>The same, where arguments have names only.</summary>
    public static string NameOfNamed(string? template, params (string Name, object? Value)[] arguments)
    {
        var job = JobSignature.Of(typeof(ClientSync));
        return Name(job, template, arguments);
    }

    public static JobCall Call(string? template, params (string Name, object? Value)[] arguments)
    {
        var job = JobSignature.Of(typeof(ClientSync), nameof(ClientSync.Run), [.. arguments.Select(static argument => Parameter(argument.Name, argument.Value))]);
        return Call(job, template, arguments);
    }

    public static JobCall Call(JobSignature job, string? template, params (string Name, object? Value)[] arguments) => new()
    {
        Scheduler = "Test",
        JobId = Guid.NewGuid().ToString(),
        Job = job,
        Arguments = [.. arguments.Select(static argument => new JobArgument(argument.Name, argument.Value, argument.Value is CancellationToken))],
        Rules = [LockRule.For(new(template, OnConflict.Wait, 15), job)],
        ToJson = static value => JsonSerializer.Serialize(value, value.GetType()),
    };

    /// <summary>A run of <c>Orders.Ship</c> for client 4, which metrics and traces name.</summary>
    public static JobCall Order(string template, OnConflict what)
    {
        var job = new JobSignature("Orders", "Ship", null);
        return Call(job, template, ("client", 4)) with { JobId = "1", Rules = [LockRule.For(new(template, what, 15), job)] };
    }

    private static string Name(JobSignature job, string? template, (string Name, object? Value)[] arguments)
    {
        var call = Call(job, template, arguments);
        return call.Rules[0].NameFor(call);
    }

    private static JobParameter Parameter(string name, object? value) => new(name, value?.GetType() ?? typeof(object), value is CancellationToken);
}

/// <summary>A job that is never run.</summary>
internal sealed class ClientSync
{
    public void Run()
    {
        // Only its name is used.
    }
}
