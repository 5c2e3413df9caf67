using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;
using NpgsqlTypes;
using static JobLocks.Postgres.Reading.InspectionParameters;
using static JobLocks.Postgres.Reading.InspectionRows;

namespace JobLocks.Postgres.Reading;

/// <summary>Requests the release of a lock, and ends sessions. Thread-safe.</summary>
internal sealed class ReleaseRequests(InspectionReader reader, JobLocksOptions options, ILogger log)
{
    private static readonly TimeSpan DefaultTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan RegistrationTime = ReadModelWriter.MinRecordedHold * 8;
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(100);

    /// <inheritdoc cref="JobLocks.IJobLockInspector.RequestReleaseAsync"/>
    /// <param name="key">The key of the lock.</param>
    /// <param name="nameKey">The key of its name; null where that does not matter.</param>
    /// <param name="by">Who requests it.</param>
    /// <param name="atMost">How long this waits for the release.</param>
    /// <param name="stop">Cancels the call.</param>
    public async Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, LockKey? nameKey, string by, TimeSpan? atMost, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        try
        {
            var answer = await RequestAsync(key, nameKey, by, BootClock.Now + (atMost ?? DefaultTimeout), stop).ConfigureAwait(false);
            log.ReleaseAnswered(key.Value, by, answer.ToString());
            return answer;
        }
        catch (Exception error)
        {
            log.ReleaseAnswered(key.Value, by, DisplayText.Name(error.Message));
            throw;
        }
    }

    /// <inheritdoc cref="JobLocks.IJobLockInspector.EndSessionAsync"/>
    public async Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(by);

        by = DisplayText.Name(by);
        log.EndingSession(by, backend);
        try
        {
            var (ended, _) = await reader.QueryAsync(InspectionSql.EndSession, static row => row.GetBoolean(0), stop, Number(backend)).ConfigureAwait(false);
            log.SessionEnded(backend, by, ended is [true] ? "it is ended" : "no session with that backend holds a lock");
            return ended is [true];
        }
        catch (Exception error)
        {
            log.SessionEnded(backend, by, DisplayText.Name(error.Message));
            throw;
        }
    }

    private async Task<ReleaseAnswer> RequestAsync(LockKey key, LockKey? nameKey, string by, TimeSpan deadline, CancellationToken stop)
    {
        var startedAt = BootClock.Now;
        RequestedHolders? holders = null;
        while (true)
        {
            var (current, _) = await reader.QueryAsync(InspectionSql.HoldersOfKey, ReadHolderRow, stop, Key(key)).ConfigureAwait(false);
            if (holders is null && current.Count == 0) return ReleaseAnswer.WasFree;
            // Logged before the request is sent, since the caller may go away in the meantime.
            if (holders is null) log.ReleaseAsked(by, key.Value);
            holders ??= new(current);
            foreach (var row in current.Where(static row => row.IsRequested)) holders.AddRequested(row.Backend, row.Number!.Value);

            var remaining = holders.StillHolding(current);
            if (remaining.Count == 0) return ReleaseAnswer.Released;

            // A session of JobLocks that was just opened is not registered yet, and a lock that was just acquired is not in the read model yet.
            var hadTimeToRegister = BootClock.Now - startedAt > RegistrationTime;
            if (hadTimeToRegister && remaining.TrueForAll(static row => row.IsForeign)) return ReleaseAnswer.IsForeign;
            if (!hadTimeToRegister || holders.WithoutRequest.Length > 0) await SendRequestAsync(holders, key, nameKey, by, stop).ConfigureAwait(false);

            if (BootClock.Now >= deadline) return ReleaseAnswer.StillHeld;
            await Task.Delay(PollInterval, stop).ConfigureAwait(false);
        }
    }

    private async Task SendRequestAsync(RequestedHolders holders, LockKey key, LockKey? nameKey, string by, CancellationToken stop)
    {
        if (options.Schema is null) return;

        try
        {
            var requested = await reader.ReadAsync(
                InspectionSql.RequestRelease,
                static row => (Backend: row.GetInt32(0), Number: row.GetInt64(1)),
                [Key(key), Text(by), Numbers(holders.Backends), new NpgsqlParameter { NpgsqlDbType = NpgsqlDbType.TimestampTz, Value = holders.At.UtcDateTime }, Numbers(holders.WithoutRequest), KeyOrNull(nameKey)],
                stop).ConfigureAwait(false);
            foreach (var (backend, number) in requested) holders.AddRequested(backend, number);
        }
        catch (PostgresException error) when (string.Equals(error.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw new UnauthorizedAccessException($"This role may not request the release of locks: {DisplayText.Message(error.MessageText)}. It needs GRANT UPDATE (release_requested_by) ON {options.Schema}.holders, see docs/grants.sql.", error);
        }
        catch (PostgresException error) when (InspectionReader.IsAboutSchema(error))
        {
            // The schema does not exist, so no holder can receive the request.
        }
    }

    private static RequestedHolders.Row ReadHolderRow(NpgsqlDataReader row) => new(
        Instant(row, 0)!.Value, row.GetInt32(1), row.GetBoolean(2), row.IsDBNull(3) ? null : row.GetInt64(3), Instant(row, 4), row.GetBoolean(5));

}
