namespace JobLocks.Inspection.Pages;

/// <summary>What the cells of a column contain. A dashboard derives the width and the line breaks of the column from it.</summary>
internal enum ColumnKind
{
    /// <summary>A lock name: may be long, and may break anywhere.</summary>
    LockName,

    /// <summary>A holder or a run: several words.</summary>
    Text,

    /// <summary>A number.</summary>
    Number,

    /// <summary>A word that does not break.</summary>
    Word,

    /// <summary>An instant or a duration.</summary>
    Value,
}
