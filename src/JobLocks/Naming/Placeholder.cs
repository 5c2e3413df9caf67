using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text.Json;
using JobLocks.Primitives;

namespace JobLocks.Naming;

/// <summary>One placeholder of a template: an argument, a path to one of its properties, a format. Immutable.</summary>
/// <param name="Argument">The name of the argument, or its position from 0.</param>
/// <param name="Path">The properties to read, one after the other: <c>CustomerId</c> in <c>{order.CustomerId}</c>.</param>
/// <param name="Format">The text after the colon in <c>{day:yyyy-MM-dd}</c>; null without a colon.</param>
internal sealed record Placeholder(string Argument, IReadOnlyList<string> Path, string? Format)
{
    private int? Position => int.TryParse(Argument, NumberStyles.None, CultureInfo.InvariantCulture, out var position) ? position : null;

    public override string ToString() => $"{{{DisplayText.Cut(string.Join('.', Path.Prepend(Argument)))}}}";

    /// <summary>Checks the placeholder against the signature of the job, as far as it is known before a run.</summary>
    /// <exception cref="FormatException">
    /// The job has no such argument or property. The message continues a sentence that begins with "[JobLock(…)] on Job".
    /// </exception>
    public void Check(JobSignature job)
    {
        if (job.Parameters is not { } parameters)
        {
            if (Position is not null)
                throw new FormatException($"names {this}, but here arguments have names, no positions. Write a key of the job's data, such as {{clientId}}.");
            return;
        }

        var parameter = Position is { } position
            ? parameters.ElementAtOrDefault(position) ?? throw NoSuchPosition(parameters)
            : parameters.FirstOrDefault(parameter => string.Equals(parameter.Name, Argument, StringComparison.Ordinal)) ?? throw NoSuchName(parameters);

        if (parameter.IsFilledByScheduler)
            throw new FormatException($"names {this}, a {parameter.Type.Name} that the scheduler fills in, which never names a lock. {Suggestion(parameters)}");

        CheckPath(parameter.Type);
    }

    /// <summary>The value of the placeholder in a run.</summary>
    /// <exception cref="FormatException">
    /// The run has no such argument or property. The message continues a sentence that begins with "[JobLock(…)] on Job".
    /// </exception>
    public object? Resolve(JobInvocation call)
    {
        var argument = Position is { } position && call.Job.Parameters is not null
            ? call.Arguments.ElementAtOrDefault(position)
            : call.Arguments.FirstOrDefault(argument => string.Equals(argument.Name, Argument, StringComparison.Ordinal) && !argument.IsFilledByScheduler);
        if (argument is null) throw NotInThisRun(call);

        var value = argument.Value;
        foreach (var property in Path) value = ReadProperty(value, property, call.ToJson);
        return value;
    }

    private FormatException NoSuchName(IReadOnlyList<JobParameter> parameters) =>
        new($"names {{{DisplayText.Cut(Argument)}}}, but the method has {UsableNames(parameters)}. {Suggestion(parameters)}");

    private FormatException NoSuchPosition(IReadOnlyList<JobParameter> parameters) =>
        new($"names position {{{DisplayText.Cut(Argument)}}}, but the method has {UsableNames(parameters)}. {Suggestion(parameters)} Positions count from 0.");

    private FormatException NotInThisRun(JobInvocation call)
    {
        var names = call.Arguments.Where(static argument => !argument.IsFilledByScheduler).Select(static argument => argument.Name).Order(StringComparer.Ordinal).ToList();
        var only = names.Count == 0 ? "no entry" : $"only: {DisplayText.Cut(string.Join(", ", names), DisplayText.LongestRun)}";
        return new($"names {{{DisplayText.Cut(Argument)}}}, but the data of this run has {only}. Put {DisplayText.Cut(Argument)} into the data of the job or of its trigger.");
    }

    private static string UsableNames(IReadOnlyList<JobParameter> parameters)
    {
        var usable = parameters.Where(static parameter => !parameter.IsFilledByScheduler).Select(static parameter => parameter.Name).ToList();
        return usable.Count == 0 ? "no arguments" : $"only: {string.Join(", ", usable)}";
    }

    private static string Suggestion(IReadOnlyList<JobParameter> parameters)
    {
        for (var position = 0; position < parameters.Count; position++)
        {
            if (!parameters[position].IsFilledByScheduler) return $"Use one of these, or a position such as {{{position}}}.";
        }

        return "Write a name without braces.";
    }

    /// <summary>
    /// Checks the path along the declared types. The check stops at a type whose members are known only in the run: an interface, an abstract type,
    /// a collection, JSON or <see cref="object"/>.
    /// </summary>
    private void CheckPath(Type type)
    {
        foreach (var property in Path)
        {
            if (IsKnownOnlyInRun(type)) return;

            type = Nullable.GetUnderlyingType(type) ?? type;
            type = Member(type, property) switch
            {
                PropertyInfo found => found.PropertyType,
                FieldInfo found => found.FieldType,
                _ => throw NoSuchProperty(type, property),
            };
        }
    }

    private static bool IsKnownOnlyInRun(Type type) =>
        type == typeof(object) || type == typeof(JsonElement) || type.IsInterface || type.IsAbstract || typeof(IEnumerable).IsAssignableFrom(type);

    private FormatException NoSuchProperty(Type type, string property)
    {
        var known = type.GetProperties().Where(static known => known.GetIndexParameters().Length == 0).Select(static known => known.Name).ToList();
        var only = known.Count == 0 ? "no properties" : $"only: {string.Join(", ", known)}";
        return new($"names {this}, but {type.Name} has no property {DisplayText.Cut(property)}; it has {only}. Use one of these.");
    }

    private object? ReadProperty(object? value, string property, Func<object, string> toJson)
    {
        if (value is null or JsonElement { ValueKind: JsonValueKind.Null }) return null;

        // An IEnumerable is a list or a map: the author means an entry of it, and not one of its own properties such as Count.
        if (value is not JsonElement and not IEnumerable && Member(value.GetType(), property) is { } member) return ReadMember(member, value);

        var json = ArgumentValue.ToJson(value, toJson);
        if (json.ValueKind == JsonValueKind.Object && json.TryGetProperty(property, out var found)) return found;
        throw new FormatException($"names {this}, but there is no {DisplayText.Cut(property)} in the value of this run. Check the spelling; capitals count.");
    }

    private object? ReadMember(MemberInfo member, object value)
    {
        try
        {
            return member is PropertyInfo property ? property.GetValue(value) : ((FieldInfo)member).GetValue(value);
        }
        catch (TargetInvocationException getterError)
        {
            throw new FormatException($"names {this}, but reading {member.Name} threw {DisplayText.Cut(getterError.InnerException?.Message ?? "", DisplayText.LongestRun)}. Name a property that only returns a value.", getterError.InnerException);
        }
    }

    private static MemberInfo? Member(Type type, string name)
    {
        if (type.GetField(name) is { } field) return field;
        return Array.Find(type.GetProperties(), property => string.Equals(property.Name, name, StringComparison.Ordinal) && property.CanRead && property.GetIndexParameters().Length == 0);
    }
}
