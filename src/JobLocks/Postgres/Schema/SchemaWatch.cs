using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// Detects within seconds that the schema was dropped or created again, or that the rights of this role changed. Locks need none of it and continue. Runs on
/// a thread of its own. Thread-safe.
/// </summary>
internal sealed class SchemaWatch : IDisposable
{
    private static readonly TimeSpan BetweenChecks = TimeSpan.FromSeconds(3);

    private readonly SessionConnector _connector;
    private readonly LockDispatcher _dispatcher;
    private readonly string? _schema;
    private readonly ILogger _log;
    private readonly RepeatingThread _thread;
    // Used by the thread of the watch alone.
    private SchemaState? _lastState;
    private volatile string? _problem;

    public SchemaWatch(SessionConnector connector, LockDispatcher dispatcher, JobLocksOptions options, ILogger log)
    {
        _connector = connector;
        _dispatcher = dispatcher;
        _schema = options.Schema;
        _log = log;
        _thread = new("JobLocks schema", BetweenChecks, Check);
    }

    /// <summary>Why the schema cannot be used, with the remedy; null if it can be used.</summary>
    public string? Problem => _problem;

    /// <summary>Starts the periodic checks. The session that has just opened has checked the schema itself.</summary>
    public void Start()
    {
        if (_schema is not null) _thread.Start(atOnce: false);
    }

    public void Dispose() => _thread.Dispose();

    private void Check()
    {
        // The next session checks the schema when it opens.
        if (_dispatcher.Sessions.Backend is null) return;

        try
        {
            var (before, now) = RefreshSession();
            // The first check compares with what the session found when it opened.
            _lastState ??= before with { Version = now.Version };
            if (now.Problem is { } problem) throw new UnusableServerException(problem);

            if (now.Version < SchemaSql.Version)
            {
                Prepare();
                (_, now) = RefreshSession();
            }

            if (!_connector.Schema.MayDrawFrom(now.Fence))
            {
                _connector.NoteServer(now.Fence);
                (_, now) = RefreshSession();
            }

            _problem = null;
            if (_lastState != now)
            {
                _log.SchemaChanged(_schema!);
                _connector.Schema.LogUnusableParts(now);
            }

            _lastState = now;
        }
        catch (UnusableServerException unusable)
        {
            if (_problem is null) _log.SchemaIsGone(unusable.Message);
            _problem = unusable.Message;
        }
        catch (Exception failed)
        {
            // The next check tries again. Acquire requests report what is wrong with the server.
            _log.CannotReadSchema(_schema!, failed);
        }
    }

    private void Prepare()
    {
        try
        {
            _connector.PrepareSchema();
        }
        catch (PostgresException refused)
        {
            throw new UnusableServerException($"the schema {_schema} is missing or incomplete, and cannot be created at the moment ({refused.MessageText}). JobLocks tries again. See docs/schema.sql.");
        }
    }

    /// <summary>Makes the session read which parts of the schema it can use.</summary>
    private (SchemaState Before, SchemaState Now) RefreshSession() => Blocking.Wait(_dispatcher.QueryAsync(session =>
    {
        var before = session.Schema;
        var now = session.ReadSchema(_schema!, _connector.Schema.MayDrawFrom);
        _dispatcher.Sessions.ReadCapabilities(session);
        return (before, now);
    }));
}
