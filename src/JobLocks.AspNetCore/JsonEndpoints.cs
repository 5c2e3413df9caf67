using System.Globalization;
using System.Text.Json;
using JobLocks.Inspection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;

namespace JobLocks.AspNetCore;

/// <summary>Maps read-only JSON endpoints with the data of the page, for other dashboards.</summary>
internal sealed class JsonEndpoints(Func<IJobLockInspector, PageReadings> readingsOf)
{
    private const int LargestPage = 100;
    private const string PartHint = "skip is 0 or more, and take from 1 to 100.";

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web);

    public void Map(RouteGroupBuilder group)
    {
        group.WithTags("JobLocks").ProducesProblem(StatusCodes.Status403Forbidden).ProducesProblem(StatusCodes.Status503ServiceUnavailable);
        group.MapGet("/overview", async (IJobLockInspector locks, CancellationToken stop) => Json(JsonAnswers.Of((await readingsOf(locks).ReadSnapshotAsync(0, 0, stop).ConfigureAwait(false)).Overview)))
            .WithSummary("What happens at the moment: how many locks are held, how many runs wait, the sessions of JobLocks and other programs that hold advisory locks, and for which names the most runs wait.")
            .Produces<JsonAnswers.OverviewAnswer>();
        group.MapGet("/held", async (IJobLockInspector locks, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = LargestPage) =>
                await PagedAsync(skip, take, async () => JsonAnswers.Of(await readingsOf(locks).ReadAsync(("held", skip, take), inspector => inspector.GetHeldAsync(skip, take), stop).ConfigureAwait(false))).ConfigureAwait(false))
            .WithSummary("The held locks, those held for the longest time first.")
            .Produces<JsonAnswers.PageAnswer<JsonAnswers.HeldAnswer>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithMetadata(new ParametersHint(PartHint));
        group.MapGet("/waiting", async (IJobLockInspector locks, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = LargestPage) =>
                await PagedAsync(skip, take, async () => JsonAnswers.Of(await readingsOf(locks).ReadAsync(("waiting", skip, take), inspector => inspector.GetWaitingAsync(skip, take), stop).ConfigureAwait(false))).ConfigureAwait(false))
            .WithSummary("The names for which runs wait, the longest wait queue first.")
            .Produces<JsonAnswers.PageAnswer<JsonAnswers.WaitingAnswer>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithMetadata(new ParametersHint(PartHint));
        // The key is text, here and in the answers, because numbers of JavaScript have 53 bits.
        group.MapGet("/names/{key}", async (IJobLockInspector locks, string key, CancellationToken stop) =>
                KeyOf(key) is { } lockKey ? Json(JsonAnswers.Of(await readingsOf(locks).ReadNameAsync(lockKey, 0, run: null, stop).ConfigureAwait(false))) : (IResult)TypedResults.NotFound())
            .WithSummary("Everything about one name.")
            .Produces<JsonAnswers.NameAnswer>().Produces(StatusCodes.Status404NotFound);
        group.MapGet("/names/{key}/waiting", async (IJobLockInspector locks, string key, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = LargestPage) =>
                KeyOf(key) is { } lockKey
                    ? await PagedAsync(skip, take, async () => JsonAnswers.Of(await readingsOf(locks).ReadAsync(("waiters", lockKey, skip, take), inspector => inspector.GetWaitingAsync(lockKey, skip, take), stop).ConfigureAwait(false))).ConfigureAwait(false)
                    : TypedResults.NotFound())
            .WithSummary("The runs that wait for one name, in their order.")
            .Produces<JsonAnswers.PageAnswer<JsonAnswers.RunAnswer>>().Produces(StatusCodes.Status404NotFound).ProducesProblem(StatusCodes.Status400BadRequest)
            .WithMetadata(new ParametersHint(PartHint));
        group.MapGet("/search", async (IJobLockInspector locks, [FromQuery] string q, CancellationToken stop) => Json(JsonAnswers.Of(await readingsOf(locks).FindAsync(q, stop).ConfigureAwait(false))))
            .WithSummary("Finds names by a part of the name, by the key, or by a run.")
            .Produces<IReadOnlyList<JsonAnswers.MatchAnswer>>().ProducesProblem(StatusCodes.Status400BadRequest)
            .WithMetadata(new ParametersHint("q is missing: the text to search for."));
        // The key of a Quartz job may contain a slash, which a server leaves encoded.
        group.MapGet("/runs/{**run}", async (IJobLockInspector locks, string run, CancellationToken stop) =>
                await readingsOf(locks).ExplainAsync(run = run.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase), store: null, stop).ConfigureAwait(false) is { } sentence ? Json(new JsonAnswers.SentenceAnswer(run, sentence)) : (IResult)TypedResults.NotFound())
            .WithSummary("Why a run does not start, in one sentence.")
            .Produces<JsonAnswers.SentenceAnswer>().Produces(StatusCodes.Status404NotFound);
        foreach (var path in new[] { "/overview", "/held", "/waiting", "/names/{key}", "/names/{key}/waiting", "/search", "/runs/{**run}" }) Answering.MapOthers(group, path, "GET");
    }

    private static LockKey? KeyOf(string key) => long.TryParse(key, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) ? new(number) : null;

    private static JsonHttpResult<T> Json<T>(T value) => TypedResults.Json(value, Format);

    private static async Task<IResult> PagedAsync<T>(int skip, int take, Func<Task<T>> read) => skip >= 0 && take is >= 1 and <= LargestPage
        ? Json(await read().ConfigureAwait(false))
        : TypedResults.Problem(PartHint, statusCode: StatusCodes.Status400BadRequest);
}
