namespace JobLocks.Tests;

[TestFixture]
public sealed class PublicFaceTests
{
    private static Type[] PublicTypes() => typeof(IJobLocks).Assembly.GetExportedTypes();

    [TestCaseSource(nameof(PublicTypes))]
    public void Is_sealed_and_in_a_namespace_that_users_know(Type type)
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(type.IsSealed || type.IsInterface, Is.True);
            Assert.That(type.Namespace, Is.EqualTo("JobLocks").Or.EqualTo("Microsoft.Extensions.DependencyInjection"));
        }
    }
}
