using System.IO.Compression;
using System.Text;
using Grid.Server.Gateway;
using Grid.Server.Hosting;

namespace Grid.UnitTests.Gateway;

public class MessageDeflateTests
{
    [Theory]
    [InlineData(256)]
    [InlineData(4_096)]
    [InlineData(300_000)]
    [InlineData(300)]
    public void A_message_inflates_to_itself(int length)
    {
        var message = Encoding.ASCII.GetBytes(string.Concat(Enumerable.Range(0, length).Select(i => (char)('a' + (i % 7)))));
        Assert.True(MessageDeflate.TryDeflate(message, out var deflated));
        Assert.True(deflated.Length < length);

        // RFC 7692, 7.2.2.
        using var input = new MemoryStream([.. deflated, 0x00, 0x00, 0xFF, 0xFF]);
        using var inflater = new DeflateStream(input, CompressionMode.Decompress);
        using var output = new MemoryStream();
        inflater.CopyTo(output);
        Assert.Equal(message, output.ToArray());
    }

    [Fact]
    public void What_gets_no_smaller_stays_as_it_is()
    {
        var noise = new byte[4_096];
        new Random(1).NextBytes(noise);
        Assert.False(MessageDeflate.TryDeflate(noise, out _));
        Assert.False(MessageDeflate.TryDeflate(new byte[255], out _));
        Assert.False(MessageDeflate.TryDeflate([], out _));
    }

    [Fact]
    public void Compression_is_for_the_tenants_that_are_named()
    {
        var options = new GridOptions();
        Assert.False(options.Compression.Allows("default"));
        options.Compression.Tenants.Add("default");
        Assert.True(options.Compression.Allows("default"));
        Assert.False(options.Compression.Allows("other"));
        options.Compression.Tenants.Add(CompressionOptions.Everybody);
        Assert.True(options.Compression.Allows("other"));
        Assert.True(new GridOptionsValidator().Validate(null, options).Succeeded);
        options.Compression.Tenants.Add("no name");
        Assert.Contains("Grid:Compression:Tenants", new GridOptionsValidator().Validate(null, options).FailureMessage, StringComparison.Ordinal);
    }
}
