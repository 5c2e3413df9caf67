using System.Text;
using JobLocks.Primitives;

namespace JobLocks.Naming;

/// <summary>A lock name with placeholders: <c>sync({clientId})</c>. It is parsed once and filled in for each run. Immutable.</summary>
internal sealed class LockNameTemplate
{
    private readonly List<Part> _parts;

    private LockNameTemplate(List<Part> parts) => _parts = parts;

    /// <summary>Parses a template.</summary>
    /// <exception cref="FormatException">
    /// The template is empty, or its braces do not match. The message continues a sentence that begins with "[JobLock(…)] on Job".
    /// </exception>
    public static LockNameTemplate Parse(string template)
    {
        if (string.IsNullOrWhiteSpace(template))
            throw new FormatException("has an empty name. Write one, such as \"sync({clientId})\", or leave it out to lock on the type, the method and all arguments.");

        var parts = new List<Part>();
        var literal = new StringBuilder();
        for (var i = 0; i < template.Length; i++)
        {
            var character = template[i];
            if (character is not ('{' or '}'))
            {
                literal.Append(character);
            }
            else if (i + 1 < template.Length && template[i + 1] == character)
            {
                literal.Append(character);
                i++;
            }
            else if (character == '}')
            {
                throw new FormatException($"closes a brace at position {i} that was never opened. Write }}}} for a brace that is part of the name.");
            }
            else
            {
                var end = template.AsSpan(i + 1).IndexOfAny('{', '}') + i + 1;
                if (end == i || template[end] == '{')
                    throw new FormatException($"opens a brace at position {i} that is never closed. Write {{clientId}} for an argument, or {{{{ for a brace that is part of the name.");

                if (literal.Length > 0) parts.Add(new(literal.ToString(), null));
                literal.Clear();
                parts.Add(new(null, ParsePlaceholder(template[(i + 1)..end], i)));
                i = end;
            }
        }

        if (literal.Length > 0) parts.Add(new(literal.ToString(), null));
        return new(parts);
    }

    /// <summary>Checks each placeholder against the signature of the job.</summary>
    /// <exception cref="FormatException">The job has no such argument or property.</exception>
    public void Check(JobSignature job)
    {
        foreach (var part in _parts) part.Placeholder?.Check(job);
    }

    /// <summary>The lock name of a run, without the scope.</summary>
    /// <exception cref="FormatException">The run lacks an argument, or a value does not fit its placeholder.</exception>
    public string Fill(JobInvocation call)
    {
        var name = new StringBuilder();
        for (var i = 0; i < _parts.Count; i++)
        {
            if (_parts[i].Placeholder is { } placeholder)
                Append(name, placeholder, call, next: i + 1 < _parts.Count ? _parts[i + 1] : null);
            else
                name.Append(_parts[i].Literal);
        }

        return name.ToString();
    }

    private static void Append(StringBuilder name, Placeholder placeholder, JobInvocation call, Part? next)
    {
        var value = placeholder.Resolve(call);
        try
        {
            // The author of the rule chose the format, so its result is not quoted.
            if (placeholder.Format is { } format && value is not null)
                name.Append(ArgumentValue.Formatted(value, format));
            else
                ArgumentText.Append(name, ArgumentValue.ToJson(value, call.ToJson), next?.Literal?[0], touchesNext: next?.Placeholder is not null);
        }
        catch (FormatException mistake)
        {
            var format = placeholder.Format is null ? "" : $" with the format \"{DisplayText.Cut(placeholder.Format)}\"";
            throw new FormatException($"names {placeholder}{format}, but {DisplayText.Cut(mistake.Message, DisplayText.LongestRun).TrimEnd('.')}. Name a value that has a text of its own.", mistake);
        }
    }

    private static Placeholder ParsePlaceholder(string text, int position)
    {
        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var path = (colon < 0 ? text : text[..colon]).Split('.');
        if (path.Any(string.IsNullOrWhiteSpace))
            throw new FormatException($"has an empty name in the braces at position {position}. Write {{clientId}}, {{0}} or {{order.CustomerId}}.");

        return new(path[0].Trim(), [.. path.Skip(1).Select(static step => step.Trim())], colon < 0 ? null : text[(colon + 1)..]);
    }

    private sealed record Part(string? Literal, Placeholder? Placeholder);
}
