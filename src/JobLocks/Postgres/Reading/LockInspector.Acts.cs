using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres.Reading;

/// <content>What can be done about a lock that somebody has.</content>
internal sealed partial class LockInspector
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan NotYetKnown = ReadModelWriter.Moment * 8;
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(100);

    public async Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        try
        {
            var answer = await RequestAsync(key, by, BootClock.Now + (atMost ?? Patience), stop).ConfigureAwait(false);
            _log.ReleaseAnswered(key.Value, by, answer.ToString());
            return answer;
        }
        catch (Exception broken)
        {
            _log.ReleaseAnswered(key.Value, by, DisplayText.Name(broken.Message));
            throw;
        }
    }

    public async Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        _log.EndsSession(by, backend);
        try
        {
            var (ended, _) = await _looks.AskAsync(LookSql.End, static row => row.GetBoolean(0), stop, Number(backend)).ConfigureAwait(false);
            _log.SessionEnded(backend, by, ended is [true] ? "it is ended" : "it is none that has a lock");
            return ended is [true];
        }
        catch (Exception broken)
        {
            _log.SessionEnded(backend, by, DisplayText.Name(broken.Message));
            throw;
        }
    }

    private async Task<ReleaseAnswer> RequestAsync(LockKey key, string by, TimeSpan deadline, CancellationToken stop)
    {
        var begun = BootClock.Now;
        AskedHolders? asked = null;
        while (true)
        {
            var (now, _) = await _looks.AskAsync(LookSql.StillHeld, ReadAsked, stop, Key(key)).ConfigureAwait(false);
            if (asked is null && now.Count == 0) return ReleaseAnswer.WasFree;
            // Before they are told, since who asks may go away meanwhile.
            if (asked is null) _log.ReleaseAsked(by, key.Value);
            asked ??= new(now);
            foreach (var row in now.Where(static row => row.IsAsked)) asked.Told(row.Backend, row.Nth!.Value);

            var left = asked.Among(now);
            if (left.Count == 0) return ReleaseAnswer.Released;

            // A session of ours that has just been opened is not yet known as one, nor is written down what has been held for a moment only.
            var isKnown = BootClock.Now - begun > NotYetKnown;
            if (isKnown && left.TrueForAll(static row => row.IsForeign)) return ReleaseAnswer.IsForeign;
            if (!isKnown || asked.Untold.Length > 0) await TellAsync(asked, key, by, stop).ConfigureAwait(false);

            if (BootClock.Now >= deadline) return ReleaseAnswer.StillHeld;
            await Task.Delay(BetweenLooks, stop).ConfigureAwait(false);
        }
    }

    private async Task TellAsync(AskedHolders asked, LockKey key, string by, CancellationToken stop)
    {
        if (_options.Schema is null) return;

        try
        {
            var told = await _looks.ReadAsync(
                LookSql.Ask,
                static row => (Backend: row.GetInt32(0), Nth: row.GetInt64(1)),
                [Key(key), Text(by), Numbers(asked.Backends), new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.TimestampTz, Value = asked.At.UtcDateTime }, Numbers(asked.Untold)],
                stop).ConfigureAwait(false);
            foreach (var (backend, nth) in told) asked.Told(backend, nth);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw new UnauthorizedAccessException($"This role may not ask for locks: {DisplayText.Message(denied.MessageText)}. It needs GRANT UPDATE (asked) ON {_options.Schema}.held, see docs/grants.sql.", denied);
        }
        catch (PostgresException unread) when (LookReader.IsAboutSchema(unread))
        {
            // It is not there: nobody can be told.
        }
    }

    private static AskedHolders.Row ReadAsked(NpgsqlDataReader row) => new(
        Instant(row, 0)!.Value, row.GetInt32(1), row.GetBoolean(2), row.IsDBNull(3) ? null : row.GetInt64(3), Instant(row, 4), row.GetBoolean(5));

    private static NpgsqlParameter<int[]> Numbers(int[] values) => new() { TypedValue = values };
}
