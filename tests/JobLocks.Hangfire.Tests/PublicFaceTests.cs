namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class PublicFaceTests
{
    private static Type[] PublicTypes() => typeof(JobLockAttribute).Assembly.GetExportedTypes();

    [TestCaseSource(nameof(PublicTypes))]
    public void Is_sealed_and_in_the_one_namespace(Type type)
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(type.IsSealed, Is.True);
            Assert.That(type.Namespace, Is.EqualTo("JobLocks.Hangfire"));
        }
    }
}
