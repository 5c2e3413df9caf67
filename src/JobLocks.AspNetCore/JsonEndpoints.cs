using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Routing;

namespace JobLocks.AspNetCore;

/// <summary>What the page shows, for other dashboards. Only to be read.</summary>
internal static class JsonEndpoints
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web)
    {
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.CamelCase), new KeyConverter(), new SecondsConverter() },
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public static void Map(RouteGroupBuilder group)
    {
        group.WithTags("JobLocks");
        group.MapGet("/overview", async (IJobLockInspector locks, CancellationToken stop) => Json(await locks.GetOverviewAsync(stop).ConfigureAwait(false)))
            .WithSummary("What happens at the moment: how much is held, how much waits, who takes locks, and under which names the most runs wait.");
        group.MapGet("/held", async (IJobLockInspector locks, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = 100) =>
                await PagedAsync(skip, take, () => locks.GetHeldAsync(skip, take, stop)).ConfigureAwait(false))
            .WithSummary("The locks that are held, the longest first.").Produces<LockPage<HeldLock>>().ProducesProblem(StatusCodes.Status400BadRequest);
        group.MapGet("/waiting", async (IJobLockInspector locks, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = 100) =>
                await PagedAsync(skip, take, () => locks.GetWaitingAsync(skip, take, stop)).ConfigureAwait(false))
            .WithSummary("The names for which runs wait, the longest line first.").Produces<LockPage<WaitingName>>().ProducesProblem(StatusCodes.Status400BadRequest);
        group.MapGet("/names/{key:long}", async (IJobLockInspector locks, long key, CancellationToken stop) => Json(await locks.GetNameAsync(new(key), stop).ConfigureAwait(false)))
            .WithSummary("Everything about one name.");
        group.MapGet("/names/{key:long}/waiting", async (IJobLockInspector locks, long key, CancellationToken stop, [FromQuery] int skip = 0, [FromQuery] int take = 100) =>
                await PagedAsync(skip, take, () => locks.GetWaitingAsync(new(key), skip, take, stop)).ConfigureAwait(false))
            .WithSummary("The runs that wait for one name, in their order.").Produces<LockPage<RunInLine>>().ProducesProblem(StatusCodes.Status400BadRequest);
        group.MapGet("/search", async (IJobLockInspector locks, [FromQuery] string q, CancellationToken stop) => Json(await locks.FindAsync(q, stop).ConfigureAwait(false)))
            .WithSummary("Finds names by a part of them, by their key, or by a run.");
        group.MapGet("/runs/{run}", async (IJobLockInspector locks, string run, CancellationToken stop) =>
                await locks.ExplainAsync(run, stop).ConfigureAwait(false) is { } sentence ? Json(new RunSentence(run, sentence)) : (IResult)TypedResults.NotFound())
            .WithSummary("Why a run does not start, in one sentence.").Produces<RunSentence>().Produces(StatusCodes.Status404NotFound);
    }

    private static JsonHttpResult<T> Json<T>(T value) => TypedResults.Json(value, Format);

    private static async Task<IResult> PagedAsync<T>(int skip, int take, Func<Task<LockPage<T>>> read)
    {
        if (skip < 0 || take is < 1 or > 100) return TypedResults.Problem("skip is 0 or more, and take from 1 to 100.", statusCode: StatusCodes.Status400BadRequest);

        return Json(await read().ConfigureAwait(false));
    }

    private sealed record RunSentence(string Run, string Sentence);

    /// <summary>As text: a number of JavaScript has 53 bits.</summary>
    private sealed class KeyConverter : JsonConverter<LockKey>
    {
        public override LockKey Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, LockKey value, JsonSerializerOptions options) => writer.WriteStringValue(value.ToString());
    }

    /// <summary>In seconds.</summary>
    private sealed class SecondsConverter : JsonConverter<TimeSpan>
    {
        public override TimeSpan Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => throw new NotSupportedException();

        public override void Write(Utf8JsonWriter writer, TimeSpan value, JsonSerializerOptions options) => writer.WriteNumberValue(Math.Round(value.TotalSeconds, 3));
    }
}
