namespace ClientSync;

/// <summary>What was asked for on the command line.</summary>
internal sealed record Settings(Choice Choice, int Rounds, int Servers, string FeedFile, bool HasDashboards, bool Stays, int Port)
{
    public static string DefaultFeed => Path.Combine(AppContext.BaseDirectory, "wildlife-strikes.csv");
}
