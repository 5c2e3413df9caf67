using System.Text;

namespace JobLocks.Naming;

/// <summary>
/// The lock name where none was written: type, method and every argument that is not plumbing.
/// <c>Acme.ClientSync.Run(4,"a b")</c> with positions, <c>Acme.ClientSyncJob(clientId:4)</c> with names.
/// </summary>
internal static class CanonicalName
{
    /// <exception cref="FormatException">An argument cannot be written as JSON.</exception>
    public static string Of(JobInvocation call)
    {
        var name = new StringBuilder(call.Job.TypeName);
        if (call.Job.Method is { } method) name.Append('.').Append(method);

        var named = call.Job.Parameters is null;
        var arguments = call.Arguments.Where(static argument => !argument.IsPlumbing);
        // A data map has no order of its own.
        if (named) arguments = arguments.OrderBy(static argument => argument.Name, StringComparer.Ordinal);

        name.Append('(');
        var separator = "";
        foreach (var argument in arguments)
        {
            name.Append(separator);
            if (named)
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
