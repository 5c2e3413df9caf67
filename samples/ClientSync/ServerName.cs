namespace ClientSync;

/// <summary>Which of the server processes this is.</summary>
internal sealed record ServerName(string Name);
