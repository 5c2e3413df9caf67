using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// Notices within seconds that our schema was dropped or made again, and that this role lost or got rights to it: the locks need none of it, and go on.
/// On a thread of its own. Thread-safe.
/// </summary>
internal sealed class SchemaWatch : IDisposable
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(3);

    private readonly SessionConnector _opening;
    private readonly LockDispatcher _dispatcher;
    private readonly string? _schema;
    private readonly ILogger _log;
    private readonly RepeatingThread _thread;
    private SchemaState? _seen;
    private volatile string? _trouble;

    public SchemaWatch(SessionConnector opening, LockDispatcher dispatcher, JobLocksOptions options, ILogger log)
    {
        _opening = opening;
        _dispatcher = dispatcher;
        _schema = options.Schema;
        _log = log;
        _thread = new("JobLocks schema", BetweenLooks, Look);
    }

    /// <summary>Why there is no schema, with the cure; null where there is one.</summary>
    public string? Trouble => _trouble;

    /// <summary>A session is open. It has just looked by itself.</summary>
    public void Start()
    {
        if (_schema is not null) _thread.Start(atOnce: false);
    }

    public void Dispose() => _thread.Dispose();

    private void Look()
    {
        // The next session looks by itself when it opens.
        if (_dispatcher.CurrentBackend is null) return;

        try
        {
            var now = Ask();
            if (now.Trouble is { } foreign) throw new WrongServerException(foreign);

            if (now.Version < SchemaSql.Version)
            {
                Prepare();
                now = Ask();
            }

            _trouble = null;
            if (_seen is { } before && before != now)
            {
                _log.SchemaChanged(_schema!);
                _opening.SayWhatIsMissing(now);
            }

            _seen = now;
        }
        catch (WrongServerException gone)
        {
            if (_trouble is null) _log.SchemaIsGone(gone.Message);
            _trouble = gone.Message;
        }
        catch (Exception away)
        {
            // The next look tries again. What is wrong with the server is said where locks are asked for.
            _log.CannotLookAtSchema(_schema!, away);
        }
    }

    private void Prepare()
    {
        try
        {
            _opening.PrepareSchema();
        }
        catch (PostgresException refused)
        {
            throw new WrongServerException($"the schema {_schema} is not there or not whole, and cannot be made for now ({refused.MessageText}). It is tried again. See docs/schema.sql.");
        }
    }

    private SchemaState Ask() => Blocking.Wait(_dispatcher.AskAsync(session =>
    {
        var before = session.Schema;
        var now = session.LookAtSchema(_schema!);
        // The first look compares with what the session found when it opened.
        _seen ??= before with { Version = now.Version };
        _dispatcher.Become(session);
        return now;
    }));
}
