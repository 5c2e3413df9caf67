using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Names the servers of a connection string as Npgsql connects to them, without secrets.</summary>
internal static class ServerName
{
    /// <summary>Each host with its port, and the database.</summary>
    public static string Of(NpgsqlConnectionStringBuilder settings)
    {
        var hosts = (settings.Host ?? "").Split(',', StringSplitOptions.TrimEntries).Select(host => Address(host, settings.Port));
        return $"{string.Join(',', hosts)}, database {settings.Database ?? settings.Username}";
    }

    /// <summary>A port in the host entry overrides the port for all hosts.</summary>
    private static string Address(string host, int port)
    {
        if (host.StartsWith('@') || Path.IsPathRooted(host)) return $"{host.TrimEnd('/')}/.s.PGSQL.{port}";

        var separator = host.LastIndexOf(':');
        if (separator < 0 || separator < host.LastIndexOf(']')) return $"{host}:{port}";

        // Several colons without brackets are an IPv6 address. It has no port.
        return host.StartsWith('[') || host.IndexOf(':', StringComparison.Ordinal) == separator ? host : $"[{host}]:{port}";
    }
}
