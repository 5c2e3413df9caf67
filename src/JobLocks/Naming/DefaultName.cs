using System.Text;

namespace JobLocks.Naming;

/// <summary>
/// Builds the default name, for a declaration without a name: the type, the method, and all arguments that the scheduler does not fill in.
/// <c>Acme.ClientSync.Run(4,"a b")</c> with positions, <c>Acme.ClientSyncJob(clientId:4)</c> with names. Thread-safe.
/// </summary>
internal static class DefaultName
{
    /// <summary>The lock name of a run, without the scope.</summary>
    /// <exception cref="FormatException">An argument cannot be written as JSON.</exception>
    public static string Of(JobInvocation call)
    {
        var name = new StringBuilder(call.Job.TypeName);
        if (call.Job.Method is { } method) name.Append('.').Append(method);

        var hasNames = call.Job.Parameters is null;
        var arguments = call.Arguments.Where(static argument => !argument.IsFilledByScheduler);
        // The entries of a data map have no defined order.
        if (hasNames) arguments = arguments.OrderBy(static argument => argument.Name, StringComparer.Ordinal);

        name.Append('(');
        var separator = "";
        foreach (var argument in arguments)
        {
            name.Append(separator);
            if (hasNames)
            {
                ArgumentText.AppendText(name, argument.Name, endsAt: ':');
                name.Append(':');
            }

            ArgumentText.Append(name, ArgumentValue.ToJson(argument.Value, call.ToJson));
            separator = ",";
        }

        return name.Append(')').ToString();
    }
}
