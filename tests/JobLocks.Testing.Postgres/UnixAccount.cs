using System.ComponentModel;

namespace JobLocks.Testing.Postgres;

/// <summary>The account that runs PostgreSQL where we are root, since PostgreSQL refuses to run as root.</summary>
internal sealed class UnixAccount
{
    private readonly string _name;
    private readonly string[] _runAs;

    private UnixAccount(string name, string[] runAs)
    {
        _name = name;
        _runAs = runAs;
    }

    /// <summary>On Windows the programs drop an administrator's rights by themselves.</summary>
    public static bool WeAreRoot => !OperatingSystem.IsWindows() && Environment.IsPrivilegedProcess;

    /// <returns>Null where we are not root and PostgreSQL runs as ourselves.</returns>
    public static async Task<UnixAccount?> InsteadOfRootAsync(CancellationToken stop)
    {
        if (!WeAreRoot)
            return null;

        foreach (var account in Candidates())
        {
            if (await account.WorksAsync(stop))
                return account;
        }

        throw new InvalidOperationException(
            "PostgreSQL refuses to run as root, and neither runuser nor su lets it run as postgres or nobody here. "
            + $"Run as another account, or set {Machine.ForeignServerVariable} to the connection string of a running server.");
    }

    public string[] Command(string[] command) => [.. _runAs, .. command];

    public async Task OwnAsync(ServerFolder folder, CancellationToken stop)
    {
        folder.LetOthersPass();
        var end = await ProgramEnd.OfAsync(["chown", "-R", _name, folder.Data], folder.Path, stop);
        if (end.Failed)
            throw new InvalidOperationException($"The account {_name} cannot be given its folder: {await end.OutputAsync(stop)}");
    }

    private static IEnumerable<UnixAccount> Candidates()
    {
        foreach (var name in (string[])["postgres", "nobody"])
        {
            yield return new(name, ["runuser", "-u", name, "--"]);
            yield return new(name, ["su", "-s", "/bin/sh", "-c", "exec \"$0\" \"$@\"", "--", name]);
        }
    }

    /// <summary>Tried rather than looked up, because the account, the program and the right to use it may each be missing.</summary>
    private async Task<bool> WorksAsync(CancellationToken stop)
    {
        try
        {
            var end = await ProgramEnd.OfAsync(Command(["true"]), Path.GetTempPath(), stop);
            return !end.Failed;
        }
        catch (Win32Exception)
        {
            return false;
        }
    }
}
